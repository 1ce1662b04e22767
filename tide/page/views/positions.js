// An answer at several places: which place is solved at which tick, and every place's probability at this one.

import { ARROWS, END } from "../tasks/maze.js";
import { drawHeat } from "./heat.js";
import { showVerdict, text } from "./verdict.js";

// How many places count: all, or of a route its moves and the first `end`.
export function counting({ right, about, likeliest }) {
  if (about.answer !== "route") return likeliest[0].length;
  const end = (right ?? likeliest.at(-1)).indexOf(END);
  return end < 0 ? likeliest[0].length : end + 1;
}

// The right moves from the start on.
export const rightMoves = ({ right, answers }, tick) => {
  const wrong = right.findIndex((move, place) => move !== answers[tick][place]);
  return wrong < 0 ? right.length : wrong;
};

// The class whose probability is shown at a place: the right one where it is known, else the likeliest.
const followed = ({ right, likeliest }, place, tick) => (right ?? likeliest[tick])[place];

// Each place and tick in the colour of right or wrong, the stronger the likelier the answer there is to the network.
export function drawPositions(canvas, state) {
  const { thought, tick } = state,
    { probabilities, likeliest, right, ticks } = thought,
    rows = counting(thought);
  drawHeat(
    canvas,
    { ticks, tick },
    {
      rows,
      label: (place) => placeName(thought, place, state.seen),
      paint: (place, t, palette) => {
        const c = likeliest[t][place],
          even = 1 / thought.about.labels.length;
        const colour = !right ? palette.mixed : c === right[place] ? palette.right : palette.wrong;
        return [colour, (probabilities[t][place][c] - even) / (1 - even)];
      },
      mark: (place) => {
        if (!right || likeliest[ticks - 1][place] !== right[place]) return -1;
        let since = ticks - 1;
        while (since > 0 && likeliest[since - 1][place] === right[place]) since--;
        return since;
      },
    },
  );
  canvas.setAttribute("aria-label", `Answers at ${rows} places over ${ticks} ticks; ${summary(thought, tick)}`);
}

// The place in a word: the bit or the right move there, or its number only.
function placeName({ about, right }, place, shown) {
  if (about.answer === "route" && right) return `${place + 1} ${ARROWS[right[place]]}`;
  if (about.asked === "bits") return `${place + 1}: ${Number(shown[place] === about.alphabet[0])}`;
  if (about.asked === "cells") {
    const side = Math.sqrt(about.length);
    return `${Math.floor(place / side) + 1}, ${(place % side) + 1}`;
  }
  return String(place + 1);
}

// How much of the answer is right at a tick: [places, of how many].
function solved(thought, tick) {
  const { about, right } = thought,
    end = right.indexOf(END),
    moves = end < 0 ? right.length : end;
  if (about.answer !== "route") return [thought.correct(tick), right.length];
  return [Math.min(rightMoves(thought, tick), moves), moves];
}

export const summary = (thought, tick) => (thought.right ? `${solved(thought, tick).join(" of ")} right` : "");

export function showPositions(parent, state) {
  const { thought, tick, seen } = state,
    { about, right, probabilities, likeliest } = thought,
    rows = counting(thought);
  showVerdict(parent, state, right ? solved(thought, tick).join("\u00a0/\u00a0") : `${rows} places`, (t) =>
    summary(thought, t),
  );
  parent.querySelector(".bars").innerHTML = Array.from({ length: rows }, (_, place) => {
    const c = followed(thought, place, tick),
      p = probabilities[tick][place][c],
      answered = likeliest[tick][place],
      kind = !right ? "first" : answered === right[place] ? "right" : "wrong";
    const moved = kind === "right" ? "" : `${right ? "≠ " : ""}${ARROWS[answered]}`,
      answer = about.answer === "route" ? moved : text(about.labels[answered]);
    return (
      `<div class="${kind}"><span>${placeName(thought, place, seen)} ${answer}</span>` +
      `<div class="track"><i style="width:${(100 * p).toFixed(2)}%"></i></div>` +
      `<output data-quantity="probability" data-place="${place}" data-class="${c}">${p.toFixed(4)}</output></div>`
    );
  }).join("");
}

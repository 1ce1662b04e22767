// A list that is emitted symbol by symbol over the ticks: the symbols' probabilities, what is out, and what is right.

import { drawHeat } from "./heat.js";
import { showVerdict } from "./verdict.js";

// What a symbol stands for: the number at its place; the last is the blank.
const symbolName = (symbol, { labels }, shown) => (symbol === labels.length - 1 ? "blank" : shown[symbol].toFixed(2));

export function drawEmission(canvas, { thought, tick, seen }) {
  const { about, probabilities, answers, ticks } = thought;
  // The tick at which each symbol came out; of several, the last.
  const out = new Map();
  answers.forEach((list, t) => list.slice(answers[t - 1]?.length ?? 0).forEach((symbol) => out.set(symbol, t)));
  drawHeat(
    canvas,
    { ticks, tick },
    {
      rows: about.labels.length,
      label: (symbol) => symbolName(symbol, about, seen),
      paint: (symbol, t, palette) => [palette.mixed, probabilities[t][0][symbol]],
      mark: (symbol) => out.get(symbol) ?? -1,
    },
  );
  canvas.setAttribute("aria-label", `Probability of ${about.labels.length} symbols over ${ticks} ticks`);
}

export function showEmission(parent, state) {
  const { thought, tick, seen } = state,
    { about, right, answers } = thought;
  const counted = (t) => [right ? thought.correct(t) : answers[t].length, about.emitted];
  showVerdict(
    parent,
    state,
    counted(tick).join("\u00a0/\u00a0"),
    (t) => `${counted(t).join(" of ")} ${right ? "right" : "out"}`,
  );
  parent.querySelector(".bars").innerHTML = Array.from({ length: about.emitted }, (_, place) => {
    const symbol = answers[tick][place],
      kind = symbol === undefined ? "" : !right ? "first" : symbol === right[place] ? "right" : "wrong";
    const width = symbol === undefined ? 0 : 100;
    return (
      `<div class="${kind}"><span>${place + 1}</span><div class="track"><i style="width:${width}%"></i></div>` +
      `<output data-quantity="emitted">${symbol === undefined ? "–" : symbolName(symbol, about, seen)}</output></div>`
    );
  }).join("");
}

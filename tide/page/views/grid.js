// A grid of numbers: givens bold, each answer as of this tick, its cell the paler the later it came to stand.

import { BOXES } from "../tasks/sudoku.js";
import { colours, fitted, rgba } from "./canvas.js";

// The tick since which a cell's answer has stood, looking back from `tick`.
export function since(answers, place, tick) {
  let first = tick;
  while (first > 0 && answers[first - 1][place] === answers[tick][place]) first--;
  return first;
}

export function drawGrid(canvas, { thought, seen, tick }) {
  const { context, width, height } = fitted(canvas),
    palette = colours(),
    { right, ticks } = thought,
    answers = thought.answers,
    side = Math.sqrt(seen.length),
    [rows, columns] = BOXES[side] ?? [side, side],
    step = (Math.min(width, height) - 8) / side,
    at = (line) => 4 + line * step;
  Object.assign(context, { textAlign: "center", textBaseline: "middle" });
  seen.forEach((given, place) => {
    const [row, column] = [Math.floor(place / side), place % side],
      answer = answers[tick][place],
      stands = since(answers, place, tick);
    if (!given) {
      const colour = !right ? palette.mixed : answer === right[place] ? palette.right : palette.wrong;
      context.fillStyle = rgba(colour, 0.75 - (0.6 * stands) / ticks);
      context.fillRect(at(column), at(row), step, step);
      context.fillStyle = palette.soft;
      context.font = "10px system-ui, sans-serif";
      context.fillText(String(stands + 1), at(column) + step - 9, at(row) + step - 8);
    }
    context.fillStyle = palette.ink;
    context.font = `${given ? "700 " : ""}${Math.round(step / 2.2)}px system-ui, sans-serif`;
    context.fillText(given ? String(given) : thought.about.labels[answer], at(column) + step / 2, at(row) + step / 2);
  });
  context.strokeStyle = palette.ink;
  for (let line = 0; line <= side; line++) {
    for (const [every, from, to] of [
      [columns, [at(line), 4], [at(line), at(side)]],
      [rows, [4, at(line)], [at(side), at(line)]],
    ]) {
      context.lineWidth = line % every ? 0.5 : 2;
      context.beginPath();
      context.moveTo(...from);
      context.lineTo(...to);
      context.stroke();
    }
  }
  const open = seen.filter((given) => !given).length;
  canvas.setAttribute("aria-label", `${side} by ${side} cells, ${open} to fill; small: the tick since which it stands`);
}

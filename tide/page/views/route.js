// A maze, where the attention lies at this tick, and the route that the network answers up to its `end`.

import { cellsOf, walked } from "../tasks/maze.js";
import { colours, line } from "./canvas.js";
import { drawAttended } from "./image.js";
import { rightMoves, summary } from "./positions.js";

export function drawRoute(canvas, state) {
  const { thought, shown, tick } = state,
    { context, width } = drawAttended(canvas, state),
    palette = colours(),
    { size } = thought.about,
    cells = cellsOf(shown),
    at = (place) => [((place % size) + 0.5) * (width / size), (Math.floor(place / size) + 0.5) * (width / size)];
  const places = walked(cells, thought.answers[tick]).map(at);
  Object.assign(context, { lineJoin: "round", lineCap: "round", shadowBlur: 0 });
  if (thought.right) {
    Object.assign(context, { strokeStyle: "#8c8c8c", lineWidth: width / size / 8 });
    context.setLineDash([2, width / size / 4]);
    line(context, walked(cells, thought.right).map(at));
    context.setLineDash([]);
  }
  const good = thought.right ? rightMoves(thought, tick) : 0;
  for (const [from, to, colour] of [
    [good, places.length, palette.wrong],
    [0, good + 1, palette.right],
  ]) {
    Object.assign(context, { strokeStyle: colour, lineWidth: width / size / 3.2 });
    if (places.slice(from, to).length > 1) line(context, places.slice(from, to));
  }
  canvas.setAttribute("aria-label", `Maze; the route goes ${places.length - 1} moves, ${summary(thought, tick)}`);
}

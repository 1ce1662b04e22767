// Rows over ticks as a field of colours: one row a place or symbol, one column a tick.

import { axes, colours, fitted, frame, rgba } from "./canvas.js";

const LABELLED = { left: 46, right: 6, top: 8, bottom: 16 };

// The height in CSS pixels that shows so many rows.
const tall = (rows) => Math.round(24 + rows * Math.min(20, Math.max(5, 340 / rows)));

// Draw `rows` of `label(row)` and `paint(row, tick, palette)` -> [colour, share of full strength]. `mark(row)` is a
// tick to put a dot on, or -1.
export function drawHeat(canvas, { ticks, tick }, { rows, label, paint, mark = () => -1 }) {
  canvas.style.height = `${tall(rows)}px`;
  const view = fitted(canvas),
    { context } = view,
    palette = colours(),
    scale = axes(view, ticks, rows, 0, LABELLED),
    step = (scale.base - scale.top) / rows;
  context.fillStyle = rgba(palette.track, 0.5);
  context.fillRect(scale.left, scale.top, scale.end - scale.left, scale.base - scale.top);
  const gap = step > 9 ? 1 : 0;
  for (let row = 0; row < rows; row++) {
    for (let t = 0; t < ticks; t++) {
      const [colour, strength] = paint(row, t, palette);
      context.fillStyle = rgba(colour, Math.min(1, Math.max(0, strength)));
      context.fillRect(scale.left + t * scale.step, scale.y(row), scale.step - (scale.step > 6 ? 1 : 0), step - gap);
    }
  }
  frame(context, scale, tick, [], palette);
  Object.assign(context, { textAlign: "right", textBaseline: "middle" });
  const every = Math.ceil(11 / step);
  for (let row = 0; row < rows; row += every) {
    context.fillStyle = palette.soft;
    context.fillText(label(row), scale.left - 6, scale.y(row + 0.5));
  }
  for (let row = 0; row < rows; row++) {
    const at = mark(row);
    if (at < 0) continue;
    context.beginPath();
    context.arc(scale.x(at), scale.y(row + 0.5), Math.min(4, step / 3), 0, 2 * Math.PI);
    Object.assign(context, { fillStyle: palette.card, strokeStyle: palette.ink, lineWidth: 1.2 });
    context.fill();
    context.stroke();
  }
  canvas.scale = scale;
}

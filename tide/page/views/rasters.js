// What every neuron of a population does at every tick: one row a neuron, the most active on top.

import { axes, colours, fitted, frame, rgba } from "./canvas.js";

export function drawRaster(canvas, { thought, tick, neuron }, { quantity, population, from }) {
  const view = fitted(canvas),
    { context } = view,
    palette = colours(),
    values = thought.seen[quantity],
    { ticks } = thought;
  const neurons = values[0].length,
    mean = new Float64Array(neurons);
  for (const now of values)
    now.forEach((value, n) => {
      mean[n] += value / ticks;
    });
  const order = Array.from(mean.keys()).sort((a, b) => mean[b] - mean[a]),
    highest = bright(values);
  const scale = axes(view, ticks, 0, neurons);
  const dots = new OffscreenCanvas(ticks, neurons),
    pen = dots.getContext("2d"),
    pixels = pen.createImageData(ticks, neurons);
  const [up, down] = [population === "i" ? palette.i : palette.e, palette.i].map(channels);
  order.forEach((n, row) =>
    values.forEach((now, t) => {
      const [r, g, b] = now[n] < 0 ? down : up,
        alpha = Math.min(1, Math.abs(now[n]) / highest);
      pixels.data.set([r, g, b, Math.round(255 * alpha ** 0.7)], 4 * (row * ticks + t));
    }),
  );
  pen.putImageData(pixels, 0, 0);
  context.imageSmoothingEnabled = false;
  context.fillStyle = rgba(palette.track, 0.5);
  context.fillRect(scale.left, scale.top, scale.end - scale.left, scale.base - scale.top);
  context.drawImage(dots, scale.left, scale.top, scale.end - scale.left, scale.base - scale.top);
  frame(context, scale, tick, [], palette);
  const row = order.indexOf(neuron - from);
  if (row >= 0) {
    context.fillStyle = palette.ink;
    const y = scale.y(neurons - row - 0.5);
    context.beginPath();
    context.moveTo(scale.left - 8, y - 5);
    context.lineTo(scale.left - 1, y);
    context.lineTo(scale.left - 8, y + 5);
    context.fill();
  }
  Object.assign(canvas, { scale, order, from });
  canvas.setAttribute("aria-label", `Activity of ${neurons} neurons over ${ticks} ticks`);
}

const channels = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

// A high value, but not the highest: single ones would leave the rest pale.
function bright(values) {
  const every = values.flatMap((now) => Array.from(now, Math.abs)).sort((a, b) => a - b);
  return every[Math.floor(0.98 * (every.length - 1))] || 1e-9;
}

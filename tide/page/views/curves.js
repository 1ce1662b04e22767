// Charts over ticks: certainty with its threshold, balance, memory, the trace of one neuron.

import { axes, colours, curve, fitted, frame, line, rgba } from "./canvas.js";
import { synchronised } from "./ring.js";

export function drawCertainty(canvas, { thought, tick, threshold }) {
  const view = fitted(canvas),
    { context } = view,
    palette = colours(),
    scale = axes(view, thought.ticks, 0, 1);
  frame(context, scale, tick, [0, 0.5, 1], palette);
  const stop = thought.stop(threshold),
    y = scale.y(threshold);
  if (stop >= 0) {
    context.fillStyle = rgba(palette.e, 0.1);
    context.fillRect(scale.x(stop), scale.top, scale.end - scale.x(stop), scale.base - scale.top);
  }
  Object.assign(context, { strokeStyle: palette.e, fillStyle: palette.e, lineWidth: 1.6 });
  context.setLineDash([6, 4]);
  line(context, [
    [scale.left, y],
    [scale.end, y],
  ]);
  context.setLineDash([]);
  context.beginPath();
  context.roundRect(scale.end - 16, y - 5, 16, 10, 5);
  context.fill();
  curve(context, scale, thought.certainty, tick, palette.ink);
  canvas.scale = scale;
  canvas.setAttribute(
    "aria-label",
    `Certainty over ticks, ${thought.certainty[tick].toFixed(2)} now, threshold ${threshold.toFixed(2)}`,
  );
}

export function drawBalance(canvas, { thought, tick }) {
  const view = fitted(canvas),
    { context } = view,
    palette = colours(),
    ratio = thought.series("ei_ratio");
  const target = thought.about.ratio_target,
    high = Math.max(2 * target, ...ratio.map((r) => Math.min(r, 10 * target)));
  const scale = axes(view, thought.ticks, 0, high);
  frame(context, scale, tick, [0, target, Math.round(high)], palette);
  Object.assign(context, { strokeStyle: palette.mixed, lineWidth: 1.4 });
  context.setLineDash([3, 4]);
  line(context, [
    [scale.left, scale.y(target)],
    [scale.end, scale.y(target)],
  ]);
  context.setLineDash([]);
  curve(
    context,
    scale,
    ratio.map((r) => Math.min(r, high)),
    tick,
    palette.ink,
  );
  canvas.scale = scale;
  canvas.setAttribute("aria-label", `E-I ratio over ticks, ${ratio[tick].toFixed(2)} now, target ${target}`);
}

export function drawMemory(canvas, { thought, tick }) {
  const view = fitted(canvas),
    { context } = view,
    palette = colours();
  const surprise = thought.series("surprise"),
    gate = thought.series("gate"),
    high = Math.max(...surprise) || 1;
  const scale = axes(view, thought.ticks, 0, 1);
  frame(context, scale, tick, [0, 0.5, 1], palette);
  curve(context, scale, gate, tick, palette.i);
  curve(
    context,
    scale,
    surprise.map((s) => s / high),
    tick,
    palette.e,
    { dash: [5, 3] },
  );
  canvas.scale = scale;
  canvas.setAttribute("aria-label", `Surprise ${surprise[tick].toFixed(3)} and gate ${gate[tick].toFixed(3)}`);
}

// Where a neuron's values lie: the quantity of its population, and its number in it.
export function traced(about, neuron) {
  const { excitatory } = about,
    inhibitory = Boolean(excitatory) && neuron >= excitatory;
  return {
    quantity: synchronised(about)[Number(inhibitory)].quantity,
    number: inhibitory ? neuron - excitatory : neuron,
    inhibitory,
  };
}

export function drawNeuron(canvas, { thought, tick, neuron }) {
  const view = fitted(canvas),
    { context } = view,
    palette = colours();
  const { quantity, number, inhibitory } = traced(thought.about, neuron),
    values = thought.seen[quantity].map((now) => now[number]);
  const low = Math.min(0, ...values),
    high = Math.max(...values) * 1.08 || 1,
    scale = axes(view, thought.ticks, low, high);
  frame(context, scale, tick, [0, Number(high.toPrecision(2))], palette);
  curve(context, scale, values, tick, !thought.about.excitatory ? palette.mixed : inhibitory ? palette.i : palette.e);
  canvas.scale = scale;
  canvas.setAttribute("aria-label", `Neuron ${neuron + 1} over ticks, ${values[tick].toFixed(3)} now`);
}

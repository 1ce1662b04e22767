// All neurons on a ring, as bright as they fire; a chord for each pair whose synchrony is read, as strong as it is.

import { colours, fitted, rgba } from "./canvas.js";

const STRONGEST = 160; // chords drawn; more would be a disc

function places(neurons, width) {
  const centre = width / 2,
    radius = centre - 9;
  return Array.from({ length: neurons }, (_, n) => {
    const angle = 2 * Math.PI * (n / neurons) - Math.PI / 2;
    return [centre + radius * Math.cos(angle), centre + radius * Math.sin(angle)];
  });
}

export function drawRing(canvas, { thought, tick, neuron }) {
  const { context, width } = fitted(canvas),
    palette = colours(),
    { neurons, excitatory, pairs } = thought.about;
  const at = places(neurons, width),
    rates = Float32Array.from({ length: neurons });
  let from = 0;
  for (const { quantity } of synchronised(thought.about)) {
    const values = thought.seen[quantity][tick];
    rates.set(values, from);
    from += values.length;
  }
  const kind = (n) => (!excitatory ? palette.mixed : n < excitatory ? palette.e : palette.i);
  const synchrony = thought.seen.synchrony[tick],
    order = Array.from(synchrony.keys());
  order.sort((a, b) => Math.abs(synchrony[a]) - Math.abs(synchrony[b]));
  const strongest = order.slice(-STRONGEST),
    highest = Math.max(...thought.seen.synchrony.map((s) => Math.max(...s.map(Math.abs)))) || 1;
  for (const pair of strongest) {
    const [left, right] = [pairs[0][pair], pairs[1][pair]],
      strength = Math.sqrt(Math.abs(synchrony[pair]) / highest);
    context.strokeStyle = rgba(kind(left) === kind(right) ? kind(left) : palette.mixed, 0.08 + 0.7 * strength);
    context.lineWidth = 0.5 + 1.8 * strength;
    context.beginPath();
    context.moveTo(...at[left]);
    context.quadraticCurveTo(width / 2, width / 2, ...at[right]);
    context.stroke();
  }
  const loudest = Math.max(...rates.map(Math.abs)) || 1;
  rates.forEach((rate, n) => {
    const share = Math.abs(rate) / loudest;
    context.fillStyle = rgba(kind(n), 0.25 + 0.75 * share);
    context.beginPath();
    context.arc(...at[n], 1.1 + 4.2 * Math.sqrt(share), 0, 2 * Math.PI);
    context.fill();
  });
  context.strokeStyle = palette.ink;
  context.lineWidth = 2;
  context.beginPath();
  context.arc(...at[neuron], 7.5, 0, 2 * Math.PI);
  context.stroke();
  canvas.setAttribute(
    "aria-label",
    `Synchrony of ${synchrony.length} pairs of ${neurons} neurons; neuron ${neuron + 1} is chosen`,
  );
}

// The activities whose products are the synchrony: of both populations, or what comes last in a tick.
export const synchronised = ({ activity, excitatory }) => (excitatory ? activity : activity.slice(-1));

// The neuron nearest to a click.
export function neuronAt(event, { neurons }) {
  const box = event.currentTarget.getBoundingClientRect();
  const angle = Math.atan2(event.clientY - box.top - box.height / 2, event.clientX - box.left - box.width / 2);
  return Math.round(((angle + Math.PI / 2) / (2 * Math.PI)) * neurons + neurons) % neurons;
}

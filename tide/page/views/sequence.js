// A sequence as the network gets it, and where its attention lies at every tick.

import { colours, fitted } from "./canvas.js";
import { drawHeat } from "./heat.js";

export function drawSequence(canvas, { thought, seen, tick }) {
  const { attention, about, ticks } = thought,
    highest = Math.max(...attention.flatMap((weights) => [...weights]));
  drawHeat(
    canvas,
    { ticks, tick },
    {
      rows: about.places,
      label: (place) => `${place + 1}: ${Number(seen[place] === about.alphabet[0])}`,
      paint: (place, t, palette) => [palette.glow, Math.sqrt(attention[t][place] / highest)],
    },
  );
  const most = attention[tick].indexOf(Math.max(...attention[tick]));
  canvas.setAttribute("aria-label", `Attention over ${about.places} places; most at place ${most + 1} now`);
}

// Numbers as bars, the smallest on the left, from the place that each had: what is wanted is their order.
export function drawNumbers(canvas, { thought, seen, tick }) {
  const { context, width, height } = fitted(canvas),
    palette = colours(),
    step = (width - 12) / seen.length,
    most = Math.max(...seen.map(Math.abs), 1),
    out = thought.answers[tick];
  Object.assign(context, { textAlign: "center", textBaseline: "middle" });
  seen.forEach((number, place) => {
    const reach = (number / most) * (height / 2 - 26),
      rank = out.indexOf(place);
    context.fillStyle =
      rank < 0
        ? palette.track
        : !thought.right
          ? palette.mixed
          : thought.right[rank] === place
            ? palette.right
            : palette.wrong;
    context.fillRect(6 + place * step + 2, height / 2, step - 4, -reach || 1);
    context.fillStyle = palette.ink;
    context.fillText(number.toFixed(2), 6 + (place + 0.5) * step, height / 2 - reach + (number < 0 ? 9 : -9));
    if (rank >= 0) context.fillText(`${rank + 1}.`, 6 + (place + 0.5) * step, number < 0 ? 8 : height - 8);
  });
  canvas.setAttribute("aria-label", `${seen.length} numbers, ${out.length} of them in order so far`);
}

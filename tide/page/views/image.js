// The image as the network gets it, where its attention lies at this tick, and the way that the attention took.

import { colours, fitted, line, rgba } from "./canvas.js";

// Paint an image (channels x size x size) at one pixel per place.
export function paint(context, image, channels, size) {
  const pixels = context.createImageData(size, size);
  for (let p = 0; p < size * size; p++) {
    for (let c = 0; c < 3; c++)
      pixels.data[4 * p + c] = Math.round(255 * image[(channels === 3 ? c : 0) * size * size + p]);
    pixels.data[4 * p + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
}

// The centre of mass of the attention, in shares of the image's side.
export function focus(weights, grid) {
  let x = 0,
    y = 0,
    sum = 0;
  weights.forEach((w, n) => {
    sum += w;
    x += w * ((n % grid) + 0.5);
    y += w * (Math.floor(n / grid) + 0.5);
  });
  return [x / sum / grid, y / sum / grid];
}

// Draw what is seen, and over it where the attention lies; returns the context and the width in CSS pixels.
export function drawAttended(canvas, { thought, seen, tick }) {
  const { channels, size, places } = thought.about,
    { glow } = colours(),
    view = fitted(canvas),
    { context, width } = view;
  const small = new OffscreenCanvas(size, size);
  paint(small.getContext("2d"), seen, channels, size);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, width, width);
  if (!places) return view;

  const grid = Math.round(Math.sqrt(places)),
    highest = Math.max(...thought.attention.flatMap((w) => [...w])),
    even = 1 / places; // what each place gets of an attention without a preference
  const spots = new OffscreenCanvas(grid, grid),
    field = spots.getContext("2d");
  thought.attention[tick].forEach((weight, n) => {
    field.fillStyle = rgba(glow, 0.85 * Math.sqrt(Math.max(0, (weight - even) / (highest - even || 1))));
    field.fillRect(n % grid, Math.floor(n / grid), 1, 1);
  });
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(spots, 0, 0, width, width);
  return view;
}

export function drawImage(canvas, state) {
  const { context, width } = drawAttended(canvas, state),
    { attention, about } = state.thought,
    grid = Math.round(Math.sqrt(about.places));
  if (!attention) return;
  const path = attention.slice(0, state.tick + 1).map((w) => focus(w, grid).map((share) => share * width));
  Object.assign(context, {
    lineWidth: 2,
    lineJoin: "round",
    strokeStyle: "#ffffff",
    shadowColor: "#000",
    shadowBlur: 4,
  });
  line(context, path);
  context.fillStyle = "#fff";
  path.forEach(([x, y], t) => {
    context.beginPath();
    context.arc(x, y, t === state.tick ? Math.max(4, width / grid / 5) : 1.8, 0, 2 * Math.PI);
    context.fill();
  });
  const [x, y] = focus(attention[state.tick], grid).map((share) => Math.round(100 * share));
  canvas.setAttribute("aria-label", `Image with attention; its centre is ${x} % from the left and ${y} % from the top`);
}

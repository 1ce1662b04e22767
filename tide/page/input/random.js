// Random numbers that are the same on every visit: a slider moved back gives back the picture.

export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const normal = (next) => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());

// Return `image` with Gaussian noise of this standard deviation, within [0, 1].
export function noisy(image, deviation) {
  if (!deviation) return image;
  const next = random(7);
  return image.map((pixel) => Math.min(1, Math.max(0, pixel + deviation * normal(next))));
}

// Return a mask over all neurons with the given shares of both populations at 0: more of them as the share grows.
export function silenced(neurons, excitatory, shareE, shareI) {
  const mask = new Float32Array(neurons).fill(1);
  for (const [from, size, share, seed] of [
    [0, excitatory, shareE, 1],
    [excitatory, neurons - excitatory, shareI, 2],
  ]) {
    const order = Array.from({ length: size }, (_, i) => from + i),
      next = random(seed);
    for (let i = size - 1; i > 0; i--) {
      const j = Math.floor(next() * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }
    for (const neuron of order.slice(0, Math.round(share * size))) mask[neuron] = 0;
  }
  return mask;
}

// Operators that bring numbers to a common mean and size.

import { OPERATORS } from "./operators.js";
import { around, axisOf, count, tensor } from "./tensors.js";

OPERATORS.BatchNormalization = ([x, scale, bias, mean, variance], { epsilon = 1e-5 }) => {
  const [outer, channels, inner] = around(x.shape, 1),
    data = new Float32Array(x.data.length);
  for (let plane = 0; plane < outer * channels; plane++) {
    const c = plane % channels,
      factor = scale.data[c] / Math.sqrt(variance.data[c] + epsilon);
    const shift = bias.data[c] - mean.data[c] * factor;
    for (let i = plane * inner; i < (plane + 1) * inner; i++) data[i] = x.data[i] * factor + shift;
  }
  return tensor(x.shape, data);
};

OPERATORS.LayerNormalization = ([x, scale, bias], { axis = -1, epsilon = 1e-5 }) => {
  const width = count(x.shape.slice(axisOf(axis, x.shape.length))),
    data = new Float32Array(x.data.length);
  for (let start = 0; start < data.length; start += width) {
    let sum = 0,
      squares = 0;
    for (let i = 0; i < width; i++) sum += x.data[start + i];
    const mean = sum / width;
    for (let i = 0; i < width; i++) squares += (x.data[start + i] - mean) ** 2;
    const factor = 1 / Math.sqrt(squares / width + epsilon);
    for (let i = 0; i < width; i++)
      data[start + i] = (x.data[start + i] - mean) * factor * scale.data[i] + (bias ? bias.data[i] : 0);
  }
  return tensor(x.shape, data);
};

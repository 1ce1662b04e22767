// Operators that cost the time: matrix products, convolutions and pooling. Sums are kept in double precision.

import { OPERATORS } from "./operators.js";
import { around, axisOf, broadcast, count, repeatedStrides, tensor, walk } from "./tensors.js";

let scratch = new Float64Array(0);

// out[row, :] = sum over k of a[row, k] b[k, :], for one matrix of each; four rows of b at a time: half the time.
function multiply(a, aStart, b, bStart, out, outStart, rows, inner, columns) {
  if (scratch.length < columns) scratch = new Float64Array(columns);
  const sums = scratch;
  for (let r = 0; r < rows; r++) {
    const own = aStart + r * inner,
      whole = inner - (inner % 4);
    sums.fill(0, 0, columns);
    for (let k = 0; k < whole; k += 4) {
      const w0 = a[own + k],
        w1 = a[own + k + 1],
        w2 = a[own + k + 2],
        w3 = a[own + k + 3];
      const b0 = bStart + k * columns,
        b1 = b0 + columns,
        b2 = b1 + columns,
        b3 = b2 + columns;
      for (let c = 0; c < columns; c++) sums[c] += w0 * b[b0 + c] + w1 * b[b1 + c] + w2 * b[b2 + c] + w3 * b[b3 + c];
    }
    for (let k = whole; k < inner; k++) {
      const weight = a[own + k],
        start = bStart + k * columns;
      for (let c = 0; c < columns; c++) sums[c] += weight * b[start + c];
    }
    for (let c = 0, to = outStart + r * columns; c < columns; c++) out[to + c] = sums[c];
  }
}

OPERATORS.MatMul = ([a, b]) => {
  if (a.shape.length < 2 || b.shape.length < 2) throw new Error("the reader multiplies matrices only");
  const [rows, inner] = a.shape.slice(-2),
    columns = b.shape.at(-1);
  const batch = broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2)),
    out = new Float32Array(count(batch) * rows * columns);
  const steps = [a, b].map((t) => repeatedStrides(t.shape.slice(0, -2), batch));
  walk(batch, steps, (i, [p, q]) => {
    multiply(a.data, p * rows * inner, b.data, q * inner * columns, out, i * rows * columns, rows, inner, columns);
  });
  return tensor([...batch, rows, columns], out);
};

OPERATORS.Gemm = ([a, b, c], { transA, transB, alpha = 1, beta = 1 }) => {
  if (transA) a = OPERATORS.Transpose([a], {});
  const [rows, inner] = a.shape,
    columns = transB ? b.shape[0] : b.shape[1],
    out = new Float32Array(rows * columns);
  if (transB) {
    for (let r = 0; r < rows; r++) {
      for (let column = 0; column < columns; column++) {
        let sum = 0;
        for (let k = 0; k < inner; k++) sum += a.data[r * inner + k] * b.data[column * inner + k];
        out[r * columns + column] = sum;
      }
    }
  } else multiply(a.data, 0, b.data, 0, out, 0, rows, inner, columns);
  if (alpha !== 1) for (let i = 0; i < out.length; i++) out[i] *= alpha;
  if (!c) return tensor([rows, columns], out);
  const added =
    beta === 1
      ? c
      : tensor(
          c.shape,
          Float32Array.from(c.data, (x) => x * beta),
        );
  return OPERATORS.Add([tensor([rows, columns], out), added], {});
};

// A convolution is a matrix product with the image's patches as columns.
OPERATORS.Conv = (
  [x, weight, bias],
  { strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], group = 1, auto_pad },
) => {
  if (x.shape[0] !== 1 || group !== 1 || dilations.some((d) => d !== 1) || (auto_pad ?? "NOTSET") !== "NOTSET") {
    throw new Error("the reader convolves single images, without groups, dilation or automatic padding");
  }
  const [, channels, height, width] = x.shape,
    [outputs, , kh, kw] = weight.shape;
  const rows = Math.floor((height + pads[0] + pads[2] - kh) / strides[0]) + 1;
  const columns = Math.floor((width + pads[1] + pads[3] - kw) / strides[1]) + 1;
  const places = rows * columns,
    inner = channels * kh * kw,
    patches = new Float32Array(inner * places);
  for (let k = 0; k < inner; k++) {
    const c = Math.floor(k / (kh * kw)),
      dy = Math.floor(k / kw) % kh,
      dx = k % kw;
    for (let r = 0; r < rows; r++) {
      const y = r * strides[0] + dy - pads[0];
      if (y < 0 || y >= height) continue;
      const from = (c * height + y) * width,
        to = k * places + r * columns;
      for (let q = 0; q < columns; q++) {
        const at = q * strides[1] + dx - pads[1];
        if (at >= 0 && at < width) patches[to + q] = x.data[from + at];
      }
    }
  }
  const out = new Float32Array(outputs * places);
  multiply(weight.data, 0, patches, 0, out, 0, outputs, inner, places);
  if (bias) for (let i = 0; i < out.length; i++) out[i] += bias.data[Math.floor(i / places)];
  return tensor([1, outputs, rows, columns], out);
};

function pooling(start, step, finish) {
  return ([x], { kernel_shape, strides = [1, 1], pads = [0, 0, 0, 0], ceil_mode }) => {
    if (ceil_mode || pads.some((p) => p !== 0)) throw new Error("the reader pools without padding only");
    const [batch, channels, height, width] = x.shape,
      [kh, kw] = kernel_shape;
    const rows = Math.floor((height - kh) / strides[0]) + 1,
      columns = Math.floor((width - kw) / strides[1]) + 1;
    const out = new Float32Array(batch * channels * rows * columns);
    for (let i = 0; i < out.length; i++) {
      const plane = Math.floor(i / (rows * columns)),
        r = Math.floor(i / columns) % rows,
        c = i % columns;
      let value = start;
      for (let k = 0; k < kh * kw; k++) {
        const y = r * strides[0] + Math.floor(k / kw),
          at = c * strides[1] + (k % kw);
        value = step(value, x.data[(plane * height + y) * width + at]);
      }
      out[i] = finish(value, kh * kw);
    }
    return tensor([batch, channels, rows, columns], out);
  };
}

OPERATORS.MaxPool = pooling(-Infinity, Math.max, (value) => value);
OPERATORS.AveragePool = pooling(
  0,
  (a, b) => a + b,
  (sum, n) => sum / n,
);
OPERATORS.GlobalAveragePool = ([x]) => OPERATORS.ReduceMean([x, tensor([2], Int32Array.of(2, 3))], {});

// Operators that act number by number.

import { broadcast, count, repeatedStrides, tensor, walk } from "./tensors.js";
import { OPERATORS } from "./operators.js";

const one =
  (f) =>
  ([x]) =>
    tensor(x.shape, Float32Array.from(x.data, f));

const two =
  (f, Kind = Float32Array) =>
  ([a, b]) => {
    const shape = broadcast(a.shape, b.shape),
      data = new Kind(count(shape)),
      { data: x } = a,
      { data: y } = b;
    if (x.length === data.length && y.length === data.length) {
      for (let i = 0; i < data.length; i++) data[i] = f(x[i], y[i]);
    } else if (y.length === 1) {
      for (let i = 0; i < data.length; i++) data[i] = f(x[i], y[0]);
    } else if (x.length === data.length && repeats(b.shape, shape)) {
      for (let i = 0, j = 0; i < data.length; i++, j = j + 1 === y.length ? 0 : j + 1) data[i] = f(x[i], y[j]);
    } else {
      walk(shape, [repeatedStrides(a.shape, shape), repeatedStrides(b.shape, shape)], (i, [p, q]) => {
        data[i] = f(x[p], y[q]);
      });
    }
    return tensor(shape, data);
  };

// Whether a tensor of shape `of` is one block that is repeated all over `shape`, as a bias is.
function repeats(of, shape) {
  const block = of.slice(of.findIndex((n) => n !== 1));
  return block.every((n, i) => n === shape[shape.length - block.length + i]);
}

// The error function to 1e-13: its series near 0, a continued fraction beyond.
export function erf(x) {
  const z = Math.abs(x);
  if (z > 6) return Math.sign(x);
  if (z < 2.5) {
    let term = z,
      sum = z;
    for (let n = 1; Math.abs(term) > 1e-17 * sum && n < 200; n++) {
      term *= (-z * z) / n;
      sum += term / (2 * n + 1);
    }
    return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (z + fraction);
  return Math.sign(x) * (1 - Math.exp(-z * z) / (Math.sqrt(Math.PI) * (z + fraction)));
}

OPERATORS.Relu = one((x) => (x < 0 ? 0 : x));
OPERATORS.Sigmoid = one((x) => 1 / (1 + Math.exp(-x)));
OPERATORS.Tanh = one(Math.tanh);
OPERATORS.Exp = one(Math.exp);
OPERATORS.Sqrt = one(Math.sqrt);
OPERATORS.Abs = one(Math.abs);
OPERATORS.Neg = one((x) => -x);
OPERATORS.Reciprocal = one((x) => 1 / x);
OPERATORS.Softplus = one((x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))));
OPERATORS.Gelu = ([x], { approximate }) => {
  if (approximate === "tanh") throw new Error("the reader knows the exact Gelu only");
  return one((v) => 0.5 * v * (1 + erf(v * Math.SQRT1_2)))([x]);
};
OPERATORS.Identity = ([x]) => x;
OPERATORS.Add = two((a, b) => a + b);
OPERATORS.Sub = two((a, b) => a - b);
OPERATORS.Mul = two((a, b) => a * b);
OPERATORS.Div = two((a, b) => a / b);
OPERATORS.Pow = two((a, b) => a ** b);
OPERATORS.GreaterOrEqual = two((a, b) => (a >= b ? 1 : 0), Uint8Array);
OPERATORS.And = two((a, b) => a & b, Uint8Array);
OPERATORS.Max = two(Math.max);
OPERATORS.Clip = ([x, low, high]) => {
  const bottom = low ? low.data[0] : -Infinity,
    top = high ? high.data[0] : Infinity;
  return one((v) => Math.min(Math.max(v, bottom), top))([x]);
};
OPERATORS.Cast = ([x], { to }) => {
  const kind = { 1: Float32Array, 6: Int32Array, 7: Int32Array, 9: Uint8Array }[to];
  if (!kind) throw new Error(`the reader knows no cast to type ${to} of ONNX`);
  return tensor(x.shape, kind.from(x.data));
};
OPERATORS.Where = ([condition, a, b]) => {
  const shape = broadcast(broadcast(condition.shape, a.shape), b.shape),
    data = new Float32Array(count(shape));
  walk(
    shape,
    [condition, a, b].map((t) => repeatedStrides(t.shape, shape)),
    (i, [c, p, q]) => {
      data[i] = condition.data[c] ? a.data[p] : b.data[q];
    },
  );
  return tensor(shape, data);
};

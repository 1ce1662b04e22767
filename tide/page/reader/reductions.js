// Operators that take numbers along axes together: sums, means, the softmax.

import { OPERATORS } from "./operators.js";
import { list } from "./shapes.js";
import { around, axisOf, count, repeatedStrides, tensor, walk } from "./tensors.js";

function reduction(start, step, finish = (sum) => sum) {
  return ([x, axes], { keepdims = 1, noop_with_empty_axes }) => {
    const rank = x.shape.length,
      every = x.shape.map((_, i) => i);
    const along = axes ? list(axes).map((a) => axisOf(a, rank)) : noop_with_empty_axes ? [] : every;
    const kept = x.shape.map((n, i) => (along.includes(i) ? 1 : n)),
      sums = new Float64Array(count(kept)).fill(start);
    const each = x.data.length / sums.length,
      last = along.every((axis) => axis >= rank - along.length);
    if (last)
      for (let i = 0; i < x.data.length; i++) sums[Math.floor(i / each)] = step(sums[Math.floor(i / each)], x.data[i]);
    else
      walk(x.shape, [repeatedStrides(kept, x.shape)], (i, [p]) => {
        sums[p] = step(sums[p], x.data[i]);
      });
    const data = Float32Array.from(sums, (sum) => finish(sum, each));
    return tensor(keepdims ? kept : kept.filter((_, i) => !along.includes(i)), data);
  };
}

OPERATORS.ReduceSum = reduction(0, (sum, x) => sum + x);
OPERATORS.ReduceMean = reduction(
  0,
  (sum, x) => sum + x,
  (sum, n) => sum / n,
);
OPERATORS.ReduceMax = reduction(-Infinity, Math.max);

// The place of the least number, the first of several, along one axis.
OPERATORS.ArgMin = ([x], { axis = 0, keepdims = 1, select_last_index }) => {
  if (select_last_index) throw new Error("the reader takes the first of several equal numbers only");
  const along = axisOf(axis, x.shape.length),
    [outer, length, inner] = around(x.shape, along),
    data = new Int32Array(outer * inner);
  for (let i = 0; i < data.length; i++) {
    const at = (k) => x.data[(Math.floor(i / inner) * length + k) * inner + (i % inner)];
    for (let k = 1; k < length; k++) if (at(k) < at(data[i])) data[i] = k;
  }
  return tensor(keepdims ? x.shape.with(along, 1) : x.shape.toSpliced(along, 1), data);
};

function softmax(finish) {
  return ([x], { axis = -1 }) => {
    const [outer, length, inner] = around(x.shape, axisOf(axis, x.shape.length)),
      data = new Float32Array(x.data.length);
    for (let o = 0; o < outer; o++) {
      for (let i = 0; i < inner; i++) {
        const at = (k) => (o * length + k) * inner + i;
        let highest = -Infinity,
          sum = 0;
        for (let k = 0; k < length; k++) highest = Math.max(highest, x.data[at(k)]);
        for (let k = 0; k < length; k++) sum += Math.exp(x.data[at(k)] - highest);
        for (let k = 0; k < length; k++) data[at(k)] = finish(x.data[at(k)] - highest, sum);
      }
    }
    return tensor(x.shape, data);
  };
}

OPERATORS.Softmax = softmax((x, sum) => Math.exp(x) / sum);
OPERATORS.LogSoftmax = softmax((x, sum) => x - Math.log(sum));

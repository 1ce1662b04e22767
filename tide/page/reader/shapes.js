// Operators that move numbers and change shapes.

import { OPERATORS } from "./operators.js";
import { around, axisOf, count, repeatedStrides, strides, tensor, walk } from "./tensors.js";

export const list = (given) => (given ? Array.from(given.data) : null);

OPERATORS.Reshape = ([x, wanted], { allowzero }) => {
  const shape = list(wanted).map((n, i) => (n === 0 && !allowzero ? x.shape[i] : n)),
    open = shape.indexOf(-1);
  if (open >= 0) shape[open] = count(x.shape) / -count(shape);
  return tensor(shape, x.data);
};
OPERATORS.Squeeze = ([x, axes]) => {
  const gone = axes
    ? list(axes).map((a) => axisOf(a, x.shape.length))
    : x.shape.flatMap((n, i) => (n === 1 ? [i] : []));
  return tensor(
    x.shape.filter((_, i) => !gone.includes(i)),
    x.data,
  );
};
OPERATORS.Unsqueeze = ([x, axes]) => {
  const rank = x.shape.length + axes.data.length,
    added = list(axes).map((a) => axisOf(a, rank)),
    own = [...x.shape];
  return tensor(
    Array.from({ length: rank }, (_, i) => (added.includes(i) ? 1 : own.shift())),
    x.data,
  );
};
OPERATORS.Flatten = ([x], { axis = 1 }) => tensor([count(x.shape.slice(0, axis)), count(x.shape.slice(axis))], x.data);
OPERATORS.Transpose = ([x], { perm }) => {
  const order = perm ?? x.shape.map((_, i) => x.shape.length - 1 - i),
    own = strides(x.shape);
  const shape = order.map((axis) => x.shape[axis]),
    data = new x.data.constructor(x.data.length);
  walk(shape, [order.map((axis) => own[axis])], (i, [p]) => {
    data[i] = x.data[p];
  });
  return tensor(shape, data);
};
OPERATORS.Expand = ([x, wanted]) => {
  const given = list(wanted),
    rank = Math.max(given.length, x.shape.length);
  const shape = Array.from({ length: rank }, (_, i) =>
    Math.max(given[given.length - rank + i] ?? 1, x.shape[x.shape.length - rank + i] ?? 1),
  );
  const data = new x.data.constructor(count(shape));
  walk(shape, [repeatedStrides(x.shape, shape)], (i, [p]) => {
    data[i] = x.data[p];
  });
  return tensor(shape, data);
};
OPERATORS.Concat = (parts, { axis }) => {
  const along = axisOf(axis, parts[0].shape.length),
    shape = [...parts[0].shape];
  shape[along] = parts.reduce((sum, part) => sum + part.shape[along], 0);
  const data = new parts[0].data.constructor(count(shape)),
    [outer, , inner] = around(shape, along);
  for (let o = 0, at = 0; o < outer; o++) {
    for (const part of parts) {
      const length = part.shape[along] * inner;
      data.set(part.data.subarray(o * length, (o + 1) * length), at);
      at += length;
    }
  }
  return tensor(shape, data);
};
OPERATORS.Split = ([x, sizes], { axis = 0, num_outputs }) => {
  const along = axisOf(axis, x.shape.length),
    length = x.shape[along];
  const part = Math.ceil(length / (num_outputs ?? 1));
  const lengths = list(sizes) ?? Array.from({ length: num_outputs }, (_, i) => Math.min(part, length - i * part));
  let from = 0;
  return lengths.map((size) => {
    from += size;
    return piece(
      x,
      along,
      from - size,
      x.shape.map((n, i) => (i === along ? size : n)),
    );
  });
};
// The part of a tensor that starts at `from` on one axis and has this shape.
function piece(x, axis, from, shape) {
  const [outer, length, inner] = around(x.shape, axis),
    data = new x.data.constructor(count(shape)),
    size = shape[axis] * inner;
  for (let o = 0; o < outer; o++) {
    const start = (o * length + from) * inner;
    if (size > 32) data.set(x.data.subarray(start, start + size), o * size);
    else for (let i = 0; i < size; i++) data[o * size + i] = x.data[start + i];
  }
  return tensor(shape, data);
}

OPERATORS.Slice = ([x, starts, ends, axes, steps]) => {
  const shape = [...x.shape],
    own = strides(x.shape),
    step = [...own],
    cut = [];
  let offset = 0;
  list(starts).forEach((start, i) => {
    const axis = axisOf(axes ? axes.data[i] : i, shape.length),
      size = x.shape[axis],
      by = steps ? steps.data[i] : 1;
    if (by < 1) throw new Error("the reader slices forwards only");
    const from = Math.min(Math.max(axisOf(start, size), 0), size);
    const to = Math.min(Math.max(ends.data[i] < 0 ? ends.data[i] + size : ends.data[i], from), size);
    shape[axis] = Math.ceil((to - from) / by);
    step[axis] = own[axis] * by;
    offset += from * own[axis];
    if (by !== 1 || to - from !== size) cut.push(by === 1 ? axis : -1);
  });
  if (cut.length === 1 && cut[0] >= 0) return piece(x, cut[0], offset / own[cut[0]], shape);
  const data = new x.data.constructor(count(shape));
  walk(shape, [step], (i, [p]) => {
    data[i] = x.data[offset + p];
  });
  return tensor(shape, data);
};
OPERATORS.Pad = ([x, pads, value], { mode = "constant" }) => {
  const rank = x.shape.length,
    before = list(pads).slice(0, rank),
    after = list(pads).slice(rank),
    own = strides(x.shape);
  if (mode !== "constant" || [...before, ...after].some((n) => n < 0))
    throw new Error("the reader pads with a constant only");
  const shape = x.shape.map((n, i) => n + before[i] + after[i]),
    data = new x.data.constructor(count(shape));
  if (value) data.fill(value.data[0]);
  const inside = strides(shape),
    start = before.reduce((sum, n, i) => sum + n * inside[i], 0);
  walk(x.shape, [own, inside], (i, [from, to]) => {
    data[start + to] = x.data[from];
  });
  return tensor(shape, data);
};
OPERATORS.Gather = ([x, chosen], { axis = 0 }) => {
  const along = axisOf(axis, x.shape.length),
    [outer, length, inner] = around(x.shape, along);
  const data = new x.data.constructor(outer * chosen.data.length * inner);
  for (let o = 0, at = 0; o < outer; o++) {
    for (const index of chosen.data) {
      const start = (o * length + axisOf(index, length)) * inner;
      for (let i = 0; i < inner; i++) data[at++] = x.data[start + i];
    }
  }
  return tensor([...x.shape.slice(0, along), ...chosen.shape, ...x.shape.slice(along + 1)], data);
};
OPERATORS.Shape = ([x], { start = 0, end }) => {
  const shape = x.shape.slice(start, end);
  return tensor([shape.length], Int32Array.from(shape));
};
OPERATORS.ConstantOfShape = ([wanted], { value = [0] }) => {
  const shape = list(wanted);
  return tensor(shape, new Float32Array(count(shape)).fill(value[0]));
};

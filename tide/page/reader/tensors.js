// Tensors {shape, data}: row-major, numbers in a typed array; and how shapes broadcast.

export const tensor = (shape, data) => ({ shape, data });

export const count = (shape) => shape.reduce((a, b) => a * b, 1);

export const scalar = (value) => tensor([], Float32Array.of(value));

export function strides(shape) {
  const steps = Array(shape.length);
  for (let i = shape.length - 1, step = 1; i >= 0; step *= shape[i--]) steps[i] = step;
  return steps;
}

export const axisOf = (axis, rank) => (axis < 0 ? axis + rank : axis);

export function broadcast(a, b) {
  const rank = Math.max(a.length, b.length),
    shape = [];
  for (let i = 0; i < rank; i++) {
    const x = a[a.length - rank + i] ?? 1,
      y = b[b.length - rank + i] ?? 1;
    if (x !== y && x !== 1 && y !== 1) throw new Error(`shapes ${a} and ${b} do not broadcast`);
    shape.push(x === 1 ? y : x);
  }
  return shape;
}

// Steps of a tensor of shape `of` while one walks over `shape`: 0 where it is repeated.
export function repeatedStrides(of, shape) {
  const own = strides(of),
    missing = shape.length - of.length;
  return shape.map((_, i) => (i < missing || of[i - missing] === 1 ? 0 : own[i - missing]));
}

// Call visit(i, offsets) for every place of `shape`, row by row, with the offset into each of the walked tensors.
export function walk(shape, steps, visit) {
  const total = count(shape),
    place = shape.map(() => 0),
    offsets = steps.map(() => 0);
  for (let i = 0; i < total; i++) {
    visit(i, offsets);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      place[axis]++;
      for (let t = 0; t < steps.length; t++) offsets[t] += steps[t][axis];
      if (place[axis] < shape[axis]) break;
      for (let t = 0; t < steps.length; t++) offsets[t] -= steps[t][axis] * shape[axis];
      place[axis] = 0;
    }
  }
}

// [outer, along, inner]: the tensor seen from one axis.
export function around(shape, axis) {
  return [count(shape.slice(0, axis)), shape[axis], count(shape.slice(axis + 1))];
}

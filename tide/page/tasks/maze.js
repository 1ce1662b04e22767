// Mazes: cells of a code each, the shortest way through them, where moves lead, and fresh ones.

export const WALL = 0,
  FREE = 1,
  START = 2,
  GOAL = 3;
export const END = 4; // the move that ends a route
const COLOURS = [
  [0, 0, 0],
  [1, 1, 1],
  [1, 0, 0],
  [0, 1, 0],
];
export const ARROWS = ["↑", "↓", "←", "→", "end"]; // up, down, left, right, end
const STEPS = [
  [-1, 0],
  [1, 0],
  [0, -1],
  [0, 1],
];

// The image (3 x size x size in [0, 1]) of cells (size x size), and back.
export function imageOf(cells) {
  return Float32Array.from(
    { length: 3 * cells.length },
    (_, i) => COLOURS[cells[i % cells.length]][Math.floor(i / cells.length)],
  );
}

export function cellsOf(image) {
  const places = image.length / 3;
  return Uint8Array.from({ length: places }, (_, p) =>
    COLOURS.findIndex((colour) => colour.every((value, c) => value === image[c * places + p])),
  );
}

// The place that a move leads to from another; -1 where that is outside.
function ahead(place, move, size) {
  const [row, column] = [Math.floor(place / size) + STEPS[move][0], (place % size) + STEPS[move][1]];
  return row < 0 || row >= size || column < 0 || column >= size ? -1 : row * size + column;
}

// The moves of the shortest way from start to goal; throws one sentence where there is none.
export function shortestRoute(cells) {
  const size = Math.sqrt(cells.length),
    start = cells.indexOf(START),
    goal = cells.indexOf(GOAL),
    came = new Map([[start, END]]);
  for (const place of came.keys()) {
    if (place === goal) break;
    for (let move = 0; move < STEPS.length; move++) {
      const next = ahead(place, move, size);
      if (next >= 0 && cells[next] !== WALL && !came.has(next)) came.set(next, move);
    }
  }
  if (!came.has(goal)) throw new Error("There is no way from the red start to the green goal: open a wall.");
  const moves = [];
  for (let place = goal; place !== start; place -= STEPS[moves[0]][0] * size + STEPS[moves[0]][1])
    moves.unshift(came.get(place));
  return moves;
}

// The places that moves lead to from the start, itself the first, up to `end` or a wall.
export function walked(cells, moves) {
  const size = Math.sqrt(cells.length),
    places = [cells.indexOf(START)];
  for (const move of moves) {
    const next = move === END ? -1 : ahead(places.at(-1), move, size);
    if (next < 0 || cells[next] === WALL) break;
    places.push(next);
  }
  return places;
}

// A perfect maze, searched depth first as the training mazes are: between any two cells there is exactly one way.
export function carved(size, next) {
  const across = (size - 1) / 2,
    draw = (bound) => Math.floor(next() * bound),
    cells = new Uint8Array(size * size),
    pixel = (cell) => (1 + 2 * Math.floor(cell / across)) * size + 1 + 2 * (cell % across);
  const stack = [draw(across * across)];
  cells[pixel(stack[0])] = FREE;
  while (stack.length) {
    const here = stack.at(-1),
      open = STEPS.map((_, move) => [move, ahead(here, move, across)]).filter(
        ([, to]) => to >= 0 && cells[pixel(to)] === WALL,
      );
    if (!open.length) stack.pop();
    else {
      const [, to] = open[draw(open.length)];
      cells[pixel(to)] = cells[(pixel(here) + pixel(to)) / 2] = FREE;
      stack.push(to);
    }
  }
  const start = draw(across * across);
  cells[pixel(start)] = START;
  cells[pixel((start + 1 + draw(across * across - 1)) % (across * across))] = GOAL;
  return cells;
}

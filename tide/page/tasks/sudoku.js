// Sudoku: numbers 1 to n in a grid of n x n cells, 0 where one is sought; each once in a row, a column and a box.

export const BOXES = { 4: [2, 2], 6: [2, 3] }; // rows and columns of a box, by side

// Up to `most` solutions of a grid, depth first at the cell with the fewest numbers left.
export function solutions(grid, most = 2) {
  const side = Math.sqrt(grid.length),
    [rows, columns] = BOXES[side],
    found = [],
    filled = Array.from(grid);
  const meet = (a, b) => {
    const [row, column, other, across] = [Math.floor(a / side), a % side, Math.floor(b / side), b % side];
    const sameBox =
      Math.floor(row / rows) === Math.floor(other / rows) &&
      Math.floor(column / columns) === Math.floor(across / columns);
    return a !== b && (row === other || column === across || sameBox);
  };
  const peers = filled.map((_, a) => [...filled.keys()].filter((b) => meet(a, b)));
  const left = (cell) =>
    Array.from({ length: side }, (_, n) => n + 1).filter((n) => !peers[cell].some((peer) => filled[peer] === n));
  if (filled.some((n, cell) => n && peers[cell].some((peer) => filled[peer] === n))) return [];
  const fill = () => {
    const empty = [...filled.keys()].filter((cell) => !filled[cell]);
    if (!empty.length) return found.push([...filled]);
    const [cell, numbers] = empty
      .map((one) => [one, left(one)])
      .reduce((best, next) => (next[1].length < best[1].length ? next : best));
    for (const n of numbers) {
      filled[cell] = n;
      fill();
      if (found.length >= most) break;
    }
    filled[cell] = 0;
  };
  fill();
  return found;
}

// The right answers of the tasks that the page knows, as classes place by place.

import { cellsOf, END, shortestRoute } from "./maze.js";
import { solutions } from "./sudoku.js";

const TRUTHS = {
  // Whether the number of ones up to each place is odd.
  parity: (bits, { alphabet }) => {
    let odd = 0;
    return Array.from(bits, (bit) => (odd ^= bit === alphabet[0] ? 1 : 0));
  },
  // The places of the smallest number, the next, and so on.
  sort: (numbers) => Array.from(numbers.keys()).sort((a, b) => numbers[a] - numbers[b]),
  // The numbers less one, where one solution is left.
  sudoku: (cells) => {
    const found = solutions(cells);
    return found.length === 1 ? found[0].map((number) => number - 1) : null;
  },
  // The moves, then `end`; a route longer than the answer is cut.
  maze: (image, { positions: [length] }) => {
    const moves = shortestRoute(cellsOf(image));
    return Array.from({ length }, (_, i) => moves[i] ?? END);
  },
};

// The right answer to what is shown; null where the page does not know the task.
export const rightAnswer = (shown, about) => TRUTHS[about.truth]?.(shown, about) ?? null;

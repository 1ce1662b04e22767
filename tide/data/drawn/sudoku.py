"""Sudoku of small sizes: which number stands in each cell?

A grid of n x n cells holds each of 1 to n once in every row, column and box of r x c cells, n = r c; 0 is a cell to
fill. A puzzle is drawn from a solved grid from which cells were taken in a random order for as long as one solution
was left; any number of givens from there up to all but one is drawn. Renaming the numbers and moving rows and columns
within their boxes, and boxes as a whole, gives thousands of others of each, all with one solution.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tide.config import ModelConfig, SequenceConfig, register
from tide.data.drawn.sets import Draw, DrawnTask, check_answer
from tide.data.sets import check_at_least
from tide.errors import ConfigError, DataError, check

Integers = npt.NDArray[np.int64]

BOXES = {4: (2, 2), 6: (2, 3)}
"""Rows and columns of a box by the side of the grid."""
GRIDS = 128  # solved grids, and the order in which their cells go, that puzzles are drawn from
TRAINING, TEST = 1, 2  # seeds of those


class Emptied(NamedTuple):
    """A solved grid (n²,) of 0 to n − 1, and the cells (k,) that can be taken from it in this order."""

    solution: Integers
    taken: Integers


def draw_sudoku(count: int, side: int, generator: torch.Generator, *, seed: int = TRAINING) -> tuple[Tensor, Tensor]:
    """Draw puzzles with one solution each.

    Args:
        count: how many, at least 1.
        side: rows and columns of the grid: 4 or 6.
        generator: source of the random numbers, on the CPU.
        seed: of the solved grids that puzzles are drawn from: other seeds, other grids.

    Returns:
        Puzzles, float32, row by row, 0 where a number is sought; the numbers less one, int64: (count, side²) each.

    Raises:
        DataError: a number is out of range.
    """
    check_at_least(("count", count, 1))
    if side not in BOXES:
        raise DataError(f"side must be one of {', '.join(map(str, BOXES))}, got {side}")
    grids = emptied_grids(side, seed)
    random = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    puzzles, answers = np.empty((2, count, side * side), dtype=np.int64)
    for number in range(count):
        grid = grids[random.integers(len(grids))]
        cells, names = shuffled_cells(side, random), random.permutation(side)
        kept = np.ones(side * side, dtype=bool)
        kept[grid.taken[: random.integers(1, len(grid.taken) + 1)]] = False
        answers[number] = names[grid.solution][cells]
        puzzles[number] = np.where(kept[cells], answers[number] + 1, 0)
    return torch.from_numpy(puzzles).float(), torch.from_numpy(answers)


def shuffled_cells(side: int, random: np.random.Generator) -> Integers:
    """Return for each cell (n²,) the one that takes its place when rows and columns move so that boxes stay boxes."""
    rows, columns = BOXES[side]
    row, column = _shuffled_lines(side, rows, random), _shuffled_lines(side, columns, random)
    cells = row[:, None] * side + column[None]
    return (cells.T if rows == columns and random.integers(2) else cells).flatten()


def _shuffled_lines(side: int, width: int, random: np.random.Generator) -> Integers:
    """Return an order of lines in which bands of so many stay together."""
    bands = [band * width + random.permutation(width) for band in random.permutation(side // width)]
    return np.concatenate(bands)


@lru_cache
def emptied_grids(side: int, seed: int) -> tuple[Emptied, ...]:
    """Return :data:`GRIDS` random solved grids and the order in which their cells can be taken."""
    random = np.random.default_rng((side, seed))
    return tuple(_emptied(side, random) for _ in range(GRIDS))


def _emptied(side: int, random: np.random.Generator) -> Emptied:
    (solution,) = solve(np.full(side * side, -1), side, 1, random)
    puzzle, taken = solution.copy(), []
    for cell in random.permutation(side * side):
        puzzle[cell] = -1
        if len(solve(puzzle, side, 2)) == 1:
            taken.append(cell)
        else:
            puzzle[cell] = solution[cell]
    return Emptied(solution, np.array(taken))


def solve(puzzle: Integers, side: int, most: int, random: np.random.Generator | None = None) -> list[Integers]:
    """Return up to ``most`` solutions of a puzzle (n²,) of 0 to n − 1, −1 where a number is sought.

    Depth first, at the cell with the fewest numbers left; with ``random`` numbers are tried in a random order.
    """
    rows, columns = BOXES[side]
    places = [(cell // side, cell % side) for cell in range(side * side)]
    units = [(r, side + c, 2 * side + r // rows * rows + c // columns) for r, c in places]
    used = [0] * (3 * side)  # by row, column and box, a bit for each number
    grid = puzzle.tolist()
    for cell, value in enumerate(grid):
        if value >= 0:
            for unit in units[cell]:
                used[unit] |= 1 << value
    solutions: list[Integers] = []

    def fill(empty: list[int]) -> None:
        if not empty:
            solutions.append(np.array(grid))
            return
        left = [(((1 << side) - 1) & ~(used[a] | used[b] | used[c])) for a, b, c in (units[cell] for cell in empty)]
        place = min(range(len(empty)), key=lambda at: left[at].bit_count())
        cell, rest = empty[place], empty[:place] + empty[place + 1 :]
        values = [value for value in range(side) if left[place] >> value & 1]
        for value in values if random is None else random.permutation(values).tolist():
            grid[cell] = int(value)
            for unit in units[cell]:
                used[unit] ^= 1 << int(value)
            fill(rest)
            for unit in units[cell]:
                used[unit] ^= 1 << int(value)
            if len(solutions) >= most:
                break
        grid[cell] = -1

    fill([cell for cell, value in enumerate(grid) if value < 0])
    return solutions


@register("task", "sudoku")
def _sudoku(model: ModelConfig, directory: Path | None) -> DrawnTask:
    sides = {side * side: side for side in BOXES}
    settings = model.input
    if not isinstance(settings, SequenceConfig) or settings.length not in sides:
        lengths = ", ".join(map(str, sides))
        raise ConfigError(
            f"input must be a sequence of {lengths} cells for task sudoku, got {settings.kind} {settings.extent}"
        )
    side = sides[settings.length]
    alphabet = tuple(float(number) for number in range(side + 1))
    check(settings.alphabet == alphabet, f"input.alphabet must be {alphabet} for this task, got {settings.alphabet}")
    check_answer(model, (side * side,), side)

    def draw_from(seed: int) -> Draw:
        return lambda count, generator: draw_sudoku(count, side, generator, seed=seed)

    return DrawnTask(draw_from(TRAINING), (draw_from(TEST),))

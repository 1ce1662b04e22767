"""Sudoku: every puzzle has one solution, and the answer is it."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch

from tide.data.drawn.sudoku import BOXES, TEST, TRAINING, draw_sudoku, emptied_grids
from tide.errors import DataError


def all_grids() -> np.ndarray:
    """Return all 288 solved grids of 4 x 4 cells, by trying every way of stacking four rows."""
    rows = np.array(list(permutations(range(4))))
    grids = []
    for first in rows:
        for second in rows:
            for third in rows:
                grid = np.stack((first, second, third))
                fourth = 6 - grid.sum(0)
                if sorted(fourth.tolist()) == [0, 1, 2, 3]:
                    grids.append(np.vstack((grid, fourth)))
    return np.stack([grid for grid in grids if solved(grid, 2, 2)])


def solved(grid: np.ndarray, rows: int, columns: int) -> bool:
    side = len(grid)
    boxes = grid.reshape(side // rows, rows, side // columns, columns).swapaxes(1, 2).reshape(side, side)
    return all(sorted(line.tolist()) == list(range(side)) for part in (grid, grid.T, boxes) for line in part)


def test_every_small_puzzle_has_exactly_one_solution_among_all_grids():
    grids = all_grids()
    assert len(grids) == 288
    puzzles, answers = draw_sudoku(200, 4, torch.Generator().manual_seed(0))
    flat = grids.reshape(288, 16)
    for puzzle, answer in zip(puzzles.numpy().astype(int), answers.numpy(), strict=True):
        given = puzzle > 0
        fitting = flat[(flat[:, given] == puzzle[given] - 1).all(1)]
        assert len(fitting) == 1
        assert (fitting[0] == answer).all()


@pytest.mark.parametrize("side", BOXES)
@pytest.mark.parametrize("seed", [TRAINING, TEST])
def test_answers_are_solved_grids_that_keep_the_givens_of_every_number(side, seed):
    puzzles, answers = draw_sudoku(300, side, torch.Generator().manual_seed(1), seed=seed)
    given = puzzles > 0
    assert (puzzles[given] == answers[given] + 1).all()
    assert all(solved(answer.reshape(side, side).numpy(), *BOXES[side]) for answer in answers)
    counts = given.sum(1)
    fewest = min(side * side - len(grid.taken) for grid in emptied_grids(side, seed))
    assert counts.min() <= fewest + 2
    assert counts.max() == side * side - 1


def test_a_seed_determines_the_puzzles_and_test_grids_are_others():
    drawn = [draw_sudoku(8, 6, torch.Generator().manual_seed(3), seed=seed) for seed in (TRAINING, TRAINING, TEST)]
    assert torch.equal(drawn[0][0], drawn[1][0])
    assert torch.equal(drawn[0][1], drawn[1][1])
    assert not torch.equal(drawn[0][1], drawn[2][1])


@pytest.mark.parametrize(("count", "side", "message"), [(0, 4, "count"), (1, 5, "side must be one of 4, 6, got 5")])
def test_refuses_what_cannot_be_drawn(count, side, message):
    with pytest.raises(DataError, match=message):
        draw_sudoku(count, side, torch.Generator())

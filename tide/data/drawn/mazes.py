"""Mazes: which moves lead from the red to the green pixel? (Darlow et al., arXiv:2505.05522.)

A maze of S x S pixels, S odd, has n x n cells, n = (S − 1)/2, at odd rows and columns; what lies between two cells is a
wall or a way. Depth-first search carves a perfect maze: between any two cells there is exactly one way.
"""

from __future__ import annotations

from collections import deque
from itertools import permutations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tide.config import ModelConfig, register
from tide.data.drawn.sets import DrawnTask, check_answer, one_difficulty
from tide.data.sets import check_at_least
from tide.errors import DataError

Integers = npt.NDArray[np.int64]

UP, DOWN, LEFT, RIGHT, END = range(5)
NAMES = ("up", "down", "left", "right", "end")
STEPS = ((-1, 0), (1, 0), (0, -1), (0, 1), (0, 0))
"""Rows and columns that each move goes."""
WALL, FREE, START, GOAL = (0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0)
"""Colours of the pixels of a maze."""
BACK = (DOWN, UP, RIGHT, LEFT)
"""The move that takes each move back."""
ORDERS = np.array(list(permutations((UP, DOWN, LEFT, RIGHT))))
AT_ONCE = 512  # mazes carved together: enough to make the loop over cells cheap, few enough for the cache
MIN_SIZE = 5  # pixels: two cells each way


class Tree(NamedTuple):
    """Perfect mazes as trees of cells, (B, n²) each: a cell's ``parent``, the move ``up`` to it, the cell's ``depth``.

    A root is its own parent, and its move is ``end``.
    """

    parent: Integers
    up: Integers
    depth: Integers


def draw_mazes(count: int, size: int, route: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw depth-first mazes, each with a start and another cell as its goal, both anywhere.

    Args:
        count: how many, at least 1.
        size: height and width in pixels, odd, at least 5.
        route: moves of an answer, at least 1.
        generator: source of the random numbers, on the CPU.

    Returns:
        Images, uint8, (count, 3, size, size): walls black, ways white, start red, goal green. Routes, int64,
        (count, route): moves pixel by pixel (up 0, down 1, left 2, right 3), then ``end`` (4); a longer route is cut.

    Raises:
        DataError: a number is out of range.
    """
    check_at_least(("count", count, 1), ("size", size, MIN_SIZE), ("route", route, 1))
    if size % 2 == 0:
        raise DataError(f"size must be odd, got {size}; walls lie between cells, take {size - 1} or {size + 1}")
    parts = [
        _draw(min(AT_ONCE, count - first), (size - 1) // 2, route, generator) for first in range(0, count, AT_ONCE)
    ]
    images, routes = (torch.cat(pieces) for pieces in zip(*parts, strict=True))
    return images, routes


def _draw(count: int, cells: int, route: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    def integers(bound: int, *shape: int) -> Integers:
        numbers: Integers = torch.randint(bound, (count, *shape), generator=generator).numpy()
        return numbers

    total = cells**2
    tree = carve(integers(total), ORDERS[integers(len(ORDERS), total)], cells)
    start, goal = integers(total), 1 + integers(total - 1)
    goal = (start + goal) % total
    moves = np.repeat(way(tree, start, goal), 2, axis=1)  # two pixels from cell to cell
    routes = np.full((count, route), END)
    length = min(route, moves.shape[1])
    routes[:, :length] = moves[:, :length]
    return paint(tree, start, goal, cells), torch.from_numpy(routes)


def carve(root: Integers, orders: Integers, cells: int) -> Tree:
    """Search all cells depth first: at every cell the directions ``orders`` (B, n², 4) are tried one after the other.

    All mazes go at once: each takes n² − 1 steps forward and at most as many back. ``root`` (B,) is the first cell.
    """
    batch, total = len(root), cells**2
    rows, next_cell = np.arange(batch), neighbours(cells)
    tree = Tree(*(np.full((batch, total), start) for start in (0, END, 0)))
    tree.parent[rows, root] = root
    visited = np.zeros((batch, total + 1), dtype=bool)
    visited[:, total] = True  # outside
    visited[rows, root] = True
    here = root
    for _ in range(2 * (total - 1)):
        directions = orders[rows, here]
        candidates = next_cell[here[:, None], directions]
        closed = visited[rows[:, None], candidates]
        first = closed.argmin(1)
        new = candidates[rows, first]
        forward = ~closed[rows, first]
        some, new_cells, old_cells = rows[forward], new[forward], here[forward]
        tree.parent[some, new_cells] = old_cells
        tree.up[some, new_cells] = np.array(BACK)[directions[rows, first][forward]]
        tree.depth[some, new_cells] = tree.depth[some, old_cells] + 1
        visited[some, new_cells] = True
        here = np.where(forward, new, tree.parent[rows, here])
    return tree


def neighbours(cells: int) -> Integers:
    """Return the cell that each move leads to, (n², 4); n² where it leads outside."""
    row, column = np.divmod(np.arange(cells**2), cells)
    ahead = []
    for down, right in STEPS[:4]:
        there = row + down, column + right
        inside = (there[0] >= 0) & (there[0] < cells) & (there[1] >= 0) & (there[1] < cells)
        ahead.append(np.where(inside, there[0] * cells + there[1], cells**2))
    return np.stack(ahead, 1)


def way(tree: Tree, start: Integers, goal: Integers) -> Integers:
    """Return the moves from ``start`` to ``goal`` (B,), cell by cell, then ``end``: (B, longest).

    Whichever end lies deeper climbs until both meet; what the goal climbed is walked back.
    """
    rows = np.arange(len(start))
    climbed: list[list[Integers]] = [[], []]
    ends = [start, goal]
    while (ends[0] != ends[1]).any():
        deeper = tree.depth[rows, ends[0]] >= tree.depth[rows, ends[1]]
        for side, climbs in enumerate((deeper & (ends[0] != ends[1]), ~deeper)):
            climbed[side].append(np.where(climbs, tree.up[rows, ends[side]], END))
            ends[side] = np.where(climbs, tree.parent[rows, ends[side]], ends[side])
    back = np.array((*BACK, END))[np.stack(climbed[1][::-1], 1)]
    moves = np.concatenate((np.stack(climbed[0], 1), back), 1)
    # Waiting is moved to the end, the rest keeps its order.
    order = (moves == END).argsort(1, kind="stable")
    packed: Integers = np.take_along_axis(moves, order, 1)
    return packed[:, : int((moves != END).sum(1).max())]


def paint(tree: Tree, start: Integers, goal: Integers, cells: int) -> Tensor:
    """Return the images (B, 3, S, S), uint8, of mazes with a start and a goal (B,)."""
    batch, size = len(start), 2 * cells + 1
    rows = np.arange(batch)
    images = np.full((batch, size, size, 3), WALL, dtype=np.uint8)
    row, column = 1 + 2 * np.stack(np.divmod(np.arange(cells**2), cells))
    images[:, row, column] = FREE
    step = np.array(STEPS)[tree.up]
    images[rows[:, None], row + step[..., 0], column + step[..., 1]] = FREE
    for cell, colour in ((start, START), (goal, GOAL)):
        images[rows, row[cell], column[cell]] = colour
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


class Walk(NamedTuple):
    """Where moves lead: places (B, R + 1, 2) as row and column before and after each move; ``arrived`` (B,).

    ``taken`` (B,) is the number of moves before the first that is ``end`` or leads into a wall, where a walk stops.
    """

    places: Tensor
    arrived: Tensor
    taken: Tensor


def walk(mazes: Tensor, moves: Tensor) -> Walk:
    """Walk ``moves`` (B, R), int64, from the start of each of ``mazes`` (B, 3, H, W), uint8."""
    batch, _, height, width = mazes.shape
    rows = torch.arange(batch, device=mazes.device)
    steps = torch.tensor(STEPS, device=mazes.device)
    free = mazes.amax(1).flatten(1) > 0
    goal = place_of(mazes, GOAL)
    place, walking = place_of(mazes, START), torch.ones(batch, dtype=torch.bool, device=mazes.device)
    places, taken = [place], torch.zeros_like(rows)
    size = torch.tensor((height, width), device=mazes.device)
    for move in moves.unbind(1):
        ahead = place + steps[move]
        inside = ((ahead >= 0) & (ahead < size)).all(1)
        open_ahead = inside & free[rows, (ahead[:, 0] * width + ahead[:, 1]) * inside]
        walking = walking & open_ahead & (move != END)
        place = torch.where(walking[:, None], ahead, place)
        taken = taken + walking
        places.append(place)
    return Walk(torch.stack(places, 1), (place == goal).all(1), taken)


def place_of(mazes: Tensor, colour: tuple[int, int, int]) -> Tensor:
    """Return row and column (B, 2) of the pixel of a colour; of the first, should there be several."""
    mask = (mazes == torch.tensor(colour, device=mazes.device, dtype=mazes.dtype)[:, None, None]).all(1).flatten(1)
    index = mask.byte().argmax(1)
    return torch.stack((index // mazes.shape[3], index % mazes.shape[3]), 1)


def shortest_route(maze: Tensor) -> list[int]:
    """Return the moves of a shortest way from start to goal through a maze (3, H, W), uint8.

    Raises :class:`DataError`: the image is of another type or shape or has another colour than black (wall), white
    (free), red (start) and green (goal), not exactly one start and one goal, or no way between them.
    """
    start, goal = check_maze(maze)
    free = (maze.amax(0) > 0).tolist()
    move_to: dict[tuple[int, int], int] = {start: END}
    waiting = deque([start])
    while waiting and goal not in move_to:
        row, column = waiting.popleft()
        for move, (down, right) in enumerate(STEPS[:END]):
            ahead = row + down, column + right
            inside = 0 <= ahead[0] < len(free) and 0 <= ahead[1] < len(free[0])
            if inside and free[ahead[0]][ahead[1]] and ahead not in move_to:
                move_to[ahead] = move
                waiting.append(ahead)
    if goal not in move_to:
        raise DataError(f"maze must have a way from start to goal, got none from {start} to {goal}; open a wall")
    route: list[int] = []
    while goal != start:
        route.append(move_to[goal])
        goal = goal[0] - STEPS[route[-1]][0], goal[1] - STEPS[route[-1]][1]
    return route[::-1]


def check_maze(maze: Tensor) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return row and column of the start and of the goal of a maze; raises as :func:`shortest_route`."""
    if maze.dtype != torch.uint8 or maze.dim() != 3 or maze.shape[0] != 3:
        kind = f"{str(maze.dtype).removeprefix('torch.')} of shape {tuple(maze.shape)}"
        raise DataError(f"maze must be uint8 of shape (3, H, W), got {kind}; convert it")
    colours = {"wall": WALL, "free": FREE, "start": START, "goal": GOAL}
    masks = {name: (maze == maze.new_tensor(colour)[:, None, None]).all(0) for name, colour in colours.items()}
    other = ~torch.stack(list(masks.values())).any(0)
    if bool(other.any()):
        row, column = other.nonzero()[0].tolist()
        raise DataError(
            f"pixel ({row}, {column}) must be black (wall), white (free), red (start) or green (goal), got "
            f"{tuple(maze[:, row, column].tolist())}; save without scaling or compression losses"
        )
    places = []
    for name, colour in (("start", "red"), ("goal", "green")):
        pixels = masks[name].nonzero().tolist()
        if len(pixels) != 1:
            raise DataError(
                f"maze must have exactly one {name} pixel, got {len(pixels)}; paint one {colour}, {colours[name]}"
            )
        places.append((pixels[0][0], pixels[0][1]))
    return places[0], places[1]


@register("task", "maze")
def _maze(model: ModelConfig, directory: Path | None) -> DrawnTask:
    size, positions = model.images.size, model.output.positions
    check_answer(model, positions[:1] or (1,), 5)
    return one_difficulty(lambda count, generator: draw_mazes(count, size, positions[0], generator))

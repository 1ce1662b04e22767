"""Mazes that someone else drew: whether they can be walked, and the shortest way through them."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

from tide.data.drawn.moves import END, FREE, GOAL, START, STEPS, WALL
from tide.errors import DataError

COLOURS = {"wall": WALL, "free": FREE, "start": START, "goal": GOAL}


def shortest_route(maze: Tensor) -> list[int]:
    """Return the moves of a shortest way from start to goal through a maze (3, H, W), uint8.

    Raises :class:`DataError`: the image is of another type or shape or has another colour than black (wall), white
    (free), red (start) and green (goal), not exactly one start and one goal, or no way between them.
    """
    start, goal = check_maze(maze)
    free = (maze.amax(0) > 0).tolist()
    came: dict[tuple[int, int], int] = {start: END}
    waiting = deque([start])
    while waiting and goal not in came:
        row, column = waiting.popleft()
        for move, (down, right) in enumerate(STEPS[:END]):
            ahead = row + down, column + right
            inside = 0 <= ahead[0] < len(free) and 0 <= ahead[1] < len(free[0])
            if inside and free[ahead[0]][ahead[1]] and ahead not in came:
                came[ahead] = move
                waiting.append(ahead)
    if goal not in came:
        raise DataError(f"there is no way from the start at {start} to the goal at {goal}, one is wanted: open a wall")
    route: list[int] = []
    while goal != start:
        route.append(came[goal])
        goal = goal[0] - STEPS[route[-1]][0], goal[1] - STEPS[route[-1]][1]
    return route[::-1]


def check_maze(maze: Tensor) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return row and column of the start and of the goal of a maze; raises as :func:`shortest_route`."""
    if maze.dtype != torch.uint8 or maze.dim() != 3 or maze.shape[0] != 3:
        kind = str(maze.dtype).removeprefix("torch.")
        raise DataError(f"maze is {kind} of shape {tuple(maze.shape)}, uint8 of shape (3, H, W) is wanted: convert it")
    masks = {name: (maze == maze.new_tensor(colour)[:, None, None]).all(0) for name, colour in COLOURS.items()}
    other = ~torch.stack(list(masks.values())).any(0)
    if bool(other.any()):
        row, column = other.nonzero()[0].tolist()
        met = tuple(maze[:, row, column].tolist())
        raise DataError(
            f"pixel ({row}, {column}) is of colour {met}, black (wall), white (free), red (start) or green (goal) "
            "is wanted: save without scaling or compression losses"
        )
    places = []
    for name in ("start", "goal"):
        found = masks[name].nonzero().tolist()
        if len(found) != 1:
            colour = "red" if name == "start" else "green"
            raise DataError(
                f"there are {len(found)} {name} pixels, exactly 1 is wanted: paint one pixel {colour} {COLOURS[name]}"
            )
        places.append((found[0][0], found[0][1]))
    return places[0], places[1]

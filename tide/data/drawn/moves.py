"""Moves through a maze, and walking them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

UP, DOWN, LEFT, RIGHT, END = range(5)
NAMES = ("up", "down", "left", "right", "end")
STEPS = ((-1, 0), (1, 0), (0, -1), (0, 1), (0, 0))
"""Rows and columns that each move goes."""
WALL, FREE, START, GOAL = (0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0)
"""Colours of the pixels of a maze."""


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
    found = (mazes == torch.tensor(colour, device=mazes.device, dtype=mazes.dtype)[:, None, None]).all(1).flatten(1)
    index = found.byte().argmax(1)
    return torch.stack((index // mazes.shape[3], index % mazes.shape[3]), 1)


def started_at(mazes: Tensor, places: Tensor) -> Tensor:
    """Return the mazes with their start moved to ``places`` (B, 2): to walk on from where an answer ended.

    The goal stays where it is, also where a walk has reached it: there is then no start.
    """
    moved = mazes.clone()
    for where, colour in ((place_of(mazes, START), FREE), (places, START), (place_of(mazes, GOAL), GOAL)):
        moved[torch.arange(len(mazes)), :, where[:, 0], where[:, 1]] = moved.new_tensor(colour)
    return moved

"""Checks of arguments that several readers and orders take."""

from __future__ import annotations

import torch
from torch import Tensor

from tide.errors import DataError


def check_at_least(*arguments: tuple[str, int, int]) -> None:
    """Raise :class:`DataError` unless each value, given as name, value and bound, is at least its bound."""
    for name, value, least in arguments:
        if value < least:
            raise DataError(f"{name} is {value}, at least {least} is wanted: give a larger {name}")


def check_positions(positions: Tensor, count: int) -> None:
    """Raise :class:`DataError` unless ``positions`` (int64, shape (B,), B at least 1) are some of 0..``count`` - 1."""
    if positions.dtype != torch.int64 or positions.ndim != 1 or len(positions) == 0:
        kind = str(positions.dtype).removeprefix("torch.")
        raise DataError(
            f"positions are {kind} of shape {tuple(positions.shape)}, int64 of shape (B,) with B at least 1 "
            "is wanted: give the numbers of the photos"
        )
    low, high = (int(value) for value in positions.aminmax())
    if low < 0 or high >= count:
        raise DataError(
            f"position is {low if low < 0 else high}, 0..{count - 1} is wanted for {count} photos: "
            "give the numbers of photos that the set has"
        )

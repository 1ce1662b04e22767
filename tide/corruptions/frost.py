"""Frost between the camera and the scene."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from tide.corruptions.colour import luma
from tide.corruptions.draws import Bytes, Draws, Floats
from tide.corruptions.frost_sheets import SHEETS, frost_sheet
from tide.corruptions.tables import Row


def frost(images: Bytes, row: Row, draws: Draws) -> Floats:
    """Add ``row[1]`` times a piece of a sheet of frost to ``row[0]`` times the image.

    One of the sheets of :mod:`tide.corruptions.frost_sheets`, scaled by ``row[2]``, and a place on it are chosen with
    equal chance for each image. On a grey image the frost is grey.
    """
    channels, height, width = images.shape[1:]
    pieces = np.empty(images.shape, np.float32)
    for piece, generator in zip(pieces, draws, strict=True):
        which, top, left = generator.random(3).tolist()
        sheet = _scaled(int(which * len(SHEETS)), row[2], channels, height, width)
        down = int(top * (sheet.shape[1] - height + 1))
        right = int(left * (sheet.shape[2] - width + 1))
        piece[:] = sheet[:, down : down + height, right : right + width]
    pieces *= np.float32(row[1])
    pieces += images * np.float32(row[0])
    return pieces


@lru_cache(maxsize=32)
def _scaled(number: int, scale: float, channels: int, height: int, width: int) -> Bytes:
    """A sheet (C, H, W), scaled linearly without antialiasing, as the published ones are, and never too small."""
    sheet = np.moveaxis(frost_sheet(number), -1, 0)
    scale = max(scale, height / sheet.shape[1], width / sheet.shape[2])
    levels = sheet.astype(np.float32)
    for axis in (1, 2):
        length = levels.shape[axis]
        exact = np.clip((np.arange(math.ceil(length * scale)) + 0.5) / scale - 0.5, 0, length - 1)
        first = np.floor(exact).astype(np.int64)
        second = np.minimum(first + 1, length - 1)
        beyond = (exact - first).astype(np.float32).reshape((-1, 1) if axis == 1 else (-1,))
        levels = levels.take(first, axis) * (1 - beyond) + levels.take(second, axis) * beyond
    if channels == 1:
        levels = luma(levels[None])[0]
    scaled: Bytes = np.rint(levels).astype(np.uint8)
    return scaled

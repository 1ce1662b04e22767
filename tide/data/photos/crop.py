"""Where to crop a photo: at random for training, in the middle for tests."""

from __future__ import annotations

import math
from random import Random

AREA = (0.08, 1.0)  # share of the photo that a random crop covers
RATIO = (3 / 4, 4 / 3)  # width over height of a random crop
TRIES = 10

Box = tuple[float, float, float, float]


def random_crop(width: int, height: int, draws: Random) -> tuple[int, int, int, int]:
    """Draw the part of a photo that a training step sees, as in "Going deeper with convolutions" (2015), section 6.

    The area is uniform in 8 to 100 % of the photo's, the logarithm of width over height is uniform between those of
    3/4 and 4/3, and the place is uniform. A part that does not fit into the photo is drawn anew; after ten tries the
    largest part in the middle is taken whose ratio is within those bounds.

    Args:
        width: of the photo in pixels, at least 1.
        height: of the photo in pixels, at least 1.
        draws: source of the random numbers. Only its ``random()`` is called, which gives the same numbers for the same
            seed with every version of Python.

    Returns:
        Left, upper, right and lower edge in pixels, the last two exclusive.
    """
    low, high = (math.log(ratio) for ratio in RATIO)
    for _ in range(TRIES):
        area = width * height * (AREA[0] + (AREA[1] - AREA[0]) * draws.random())
        ratio = math.exp(low + (high - low) * draws.random())
        wide, tall = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < wide <= width and 0 < tall <= height:
            left = int(draws.random() * (width - wide + 1))
            top = int(draws.random() * (height - tall + 1))
            return left, top, left + wide, top + tall
    wide = min(width, round(height * RATIO[1]))
    tall = min(height, round(width / RATIO[0]))
    left, top = (width - wide) // 2, (height - tall) // 2
    return left, top, left + wide, top + tall


def centre_crop(width: int, height: int, size: int, share: float = 1.0) -> Box:
    """Return the square in the middle of a photo that a test sees.

    It is what remains of the photo when its shorter side is scaled to ``size`` / ``share`` pixels, rounded, and the
    square of ``size`` pixels in the middle is cut out: with 0.875 the usual one of ImageNet, 224 of 256 pixels.

    Returns:
        Left, upper, right and lower edge in pixels of the photo before scaling, with fractions.
    """
    side = min(width, height) * size / round(size / share)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side

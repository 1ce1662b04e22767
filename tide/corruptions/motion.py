"""Motion along a straight line while the shutter is open."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tide.corruptions.draws import Bytes, Draws, Floats
from tide.corruptions.tables import Row

Places = npt.NDArray[np.int64]


def motion_blur(images: Bytes, row: Row, draws: Draws) -> Bytes:
    """Smear each image in a direction of its own, uniform within 45 degrees of the horizontal.

    ``row[0]`` and ``row[1]`` are the radius and the standard deviation of :func:`smear`.
    """
    blurred = np.empty_like(images)
    for target, image, generator in zip(blurred, images, draws, strict=True):
        target[:] = smear(image, row[0], row[1], 90 * generator.random() - 45)
    return blurred


def smear(image: Bytes, radius: float, sigma: float, angle: float) -> Bytes:
    """Return the weighted mean of copies of an image, each moved by one pixel more.

    This is what ``MotionBlurImage`` of ImageMagick 6 and 7 computes, with which the published sets were made: the
    copies trail to one side, 2 * ceil(radius) + 1 of them; the i-th is i pixels away, rounded to whole pixels, and
    has the weight of a Gaussian at i. The edge is continued by its own values.

    Args:
        image: shape (C, H, W).
        radius: in pixels.
        sigma: standard deviation of the Gaussian in pixels.
        angle: direction from which the copies are taken, in degrees clockwise from the right.

    Returns:
        The mean, rounded to the nearest pixel value, shape (C, H, W).
    """
    _, height, width = image.shape
    down, right, weights = path(radius, sigma, angle)
    top, left = max(0, -down.min()), max(0, -right.min())
    margins = ((0, 0), (top, max(0, down.max())), (left, max(0, right.max())))
    padded = np.pad(image.astype(np.float32), margins, mode="edge")
    total = np.zeros(image.shape, np.float32)
    part = np.empty_like(total)
    for row, column, weight in zip((down + top).tolist(), (right + left).tolist(), weights, strict=True):
        np.multiply(padded[:, row : row + height, column : column + width], weight, out=part)
        total += part
    total += np.float32(0.5 + 1 / 512)
    np.minimum(total, 255, out=total)
    return total.astype(np.uint8)


def path(radius: float, sigma: float, angle: float) -> tuple[Places, Places, Floats]:
    """Return rows down, columns right and weight of each copy of :func:`smear`, each of shape (copies,)."""
    steps = np.arange(2 * math.ceil(radius) + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    turn = math.radians(angle)
    down, right = (np.ceil(steps * part - 0.5).astype(int) for part in (math.sin(turn), math.cos(turn)))
    return down, right, (weights / weights.sum()).astype(np.float32)

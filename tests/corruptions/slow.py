"""The corruptions in the slow, obvious way: one pixel after another, in double precision."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Array = npt.NDArray[np.float64]


def truncated(levels: Array) -> npt.NDArray[np.uint8]:
    """Pixels from levels on the scale 0..255, rounded down with the allowance that the library states."""
    return np.clip(levels + 1 / 512, 0, 255).astype(np.uint8)


def hsv(image: npt.NDArray[np.uint8], change: Callable[[float, float, float], tuple[float, float, float]]) -> Array:
    """Change hue, saturation and value of each pixel of an image (3, H, W)."""
    changed = np.empty(image.shape)
    for row in range(image.shape[1]):
        for column in range(image.shape[2]):
            red, green, blue = (float(level) / 255 for level in image[:, row, column])
            changed[:, row, column] = colorsys.hsv_to_rgb(*change(*colorsys.rgb_to_hsv(red, green, blue)))
    return changed * 255


def glass(moves: npt.NDArray[np.int32], reach: int) -> npt.NDArray[np.int64]:
    """Where each pixel's value comes from when pixels take their neighbours' values one after the other."""
    height, width = moves.shape[2:]
    origin = np.arange(height * width).reshape(height, width)
    for down, right in moves:
        for row in range(height - reach, reach, -1):
            for column in range(width - reach, reach, -1):
                origin[row, column] = origin[row + down[row, column], column + right[row, column]]
    return origin.ravel()


def smear(image: npt.NDArray[np.uint8], radius: float, sigma: float, angle: float) -> Array:
    """A motion blur (C, H, W): each pixel is the weighted mean of those along a line that starts at it."""
    _, height, width = image.shape
    steps = range(2 * math.ceil(radius) + 1)
    weights = [math.exp(-(step**2) / (2 * sigma**2)) for step in steps]
    blurred = np.zeros(image.shape)
    for row in range(height):
        for column in range(width):
            for step, weight in zip(steps, weights, strict=True):
                down = math.ceil(step * math.sin(math.radians(angle)) - 0.5)
                right = math.ceil(step * math.cos(math.radians(angle)) - 0.5)
                source = image[:, min(max(row + down, 0), height - 1), min(max(column + right, 0), width - 1)]
                blurred[:, row, column] += weight / sum(weights) * source
    return blurred


def clipped_zoom(image: Array, factor: float) -> Array:
    """The middle of an image (H, W) enlarged to its size.

    With the edge continued: where rounding puts the last pixel a trace beyond it, the default would make it black.
    """
    height, width = image.shape
    high, wide = math.ceil(height / factor), math.ceil(width / factor)
    top, left = (height - high) // 2, (width - wide) // 2
    large = ndimage.zoom(image[top : top + high, left : left + wide], factor, order=1, mode="nearest")
    top, left = (large.shape[0] - height) // 2, (large.shape[1] - width) // 2
    return large[top : top + height, left : left + width]


def relief(uniform: Array, side: int, decay: float) -> Array:
    """Diamond-square on a torus, place by place; ``uniform`` in the order squares, edges across, edges down."""
    heights = np.zeros((side, side))
    numbers = iter(uniform)
    step, amplitude = side, 100.0
    while step >= 2:
        half = step // 2
        for kind in ("square", "across", "down"):
            for row in range(0, side, step):
                for column in range(0, side, step):
                    if kind == "square":
                        place = (row + half, column + half)
                        around = [
                            (row, column),
                            (row + step, column),
                            (row, column + step),
                            (row + step, column + step),
                        ]
                    else:
                        place = (row, column + half) if kind == "across" else (row + half, column)
                        steps = ((half, 0), (-half, 0), (0, half), (0, -half))
                        around = [(place[0] + down, place[1] + right) for down, right in steps]
                    mean = sum(heights[down % side, right % side] for down, right in around) / 4
                    heights[place] = mean + amplitude**2 * (2 * next(numbers) - 1)
        step, amplitude = half, amplitude / decay
    heights -= heights.min()
    return heights / heights.max()


def mapped(image: npt.NDArray[np.uint8], matrix: Array) -> Array:
    """An image (C, H, W) whose pixels come from where ``matrix`` sends their (row, column) from the middle."""
    _, height, width = image.shape
    middle = np.array([(height - 1) / 2, (width - 1) / 2])
    new = np.zeros(image.shape)
    for row in range(height):
        for column in range(width):
            down, right = matrix @ ([row, column] - middle) + middle
            for near in (math.floor(down), math.floor(down) + 1):
                for beside in (math.floor(right), math.floor(right) + 1):
                    if 0 <= near < height and 0 <= beside < width:
                        share = (1 - abs(down - near)) * (1 - abs(right - beside))
                        new[:, row, column] += share * image[:, near, beside]
    return new

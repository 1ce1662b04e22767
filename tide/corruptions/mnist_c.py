"""What MNIST-C has and ImageNet-C lacks: the image out of place, stripes, lines across it, and its edges alone.

Norman Mu and Justin Gilmer, "MNIST-C: a robustness benchmark for computer vision", arXiv 1906.02337, with the numbers
of their program, github.com/google-research/mnist-c. That program is for 28 grey pixels; here any size and colour will
do. What lies outside the image is black, as there. On a colour image the lines and edges are white.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tide.corruptions.draws import Bytes, Draws, Floats
from tide.corruptions.noise import Doubles, Places, luma, sample
from tide.corruptions.tables import Row

# The image out of place: maps about its middle, and moves.


def shear(images: Bytes, row: Row, draws: Draws) -> Floats:
    """Lean the upright by ``row[0]`` radians to the left or to the right, with equal chance.

    The rows keep their length. The upright keeps its length too in the map from the new image to the old one, as in the
    published set, so that the image becomes taller: by 9 % at 0.4 radians.
    """
    angle = row[0] * _signs(draws)
    one, nothing = np.ones_like(angle), np.zeros_like(angle)
    return _mapped(images, np.array([[np.cos(angle), nothing], [-np.sin(angle), one]]))


def rotate(images: Bytes, row: Row, draws: Draws) -> Floats:
    """Turn about the middle by ``row[0]`` radians to the left or to the right, with equal chance."""
    angle = row[0] * _signs(draws)
    return _mapped(images, np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]))


def scale(images: Bytes, row: Row, draws: Draws) -> Floats:
    """Shrink towards the middle by the factor ``row[0]``, without smoothing first, as in the published set."""
    return _mapped(images, np.tile(np.eye(2)[:, :, None] / row[0], len(images)))


def translate(images: Bytes, row: Row, draws: Draws) -> Bytes:
    """Move by ``row[0]`` pixels, rounded to whole ones, up or down and left or right, all four with equal chance."""
    height, width = images.shape[2:]
    step = math.floor(row[0] + 0.5)
    framed = np.pad(images, ((0, 0), (0, 0), (step, step), (step, step)))
    moved = np.empty_like(images)
    for target, image, (up, left) in zip(moved, framed, draws.uniform(2) < 0.5, strict=True):
        top, start = 2 * step * int(up), 2 * step * int(left)
        target[:] = image[:, top : top + height, start : start + width]
    return moved


def _signs(draws: Draws) -> Doubles:
    """Return -1 or 1 for each image with equal chance, shape (B,)."""
    return np.where(draws.uniform(1)[:, 0] < 0.5, -1.0, 1.0)


def _mapped(images: Bytes, maps: Doubles) -> Floats:
    """Return images whose pixels come from elsewhere, interpolated linearly.

    Args:
        images: pixel values, shape (B, C, H, W).
        maps: from the place (row, column) of a new pixel to that of its source, both from the middle of the image;
            shape (2, 2, B).
    """
    # With a black frame of one pixel, all that lies farther out can be taken from the frame.
    framed = np.pad(images.astype(np.float32), ((0, 0), (0, 0), (1, 1), (1, 1)))
    height, width = framed.shape[2:]
    middle = (height - 1) / 2, (width - 1) / 2
    down, right = np.arange(height)[:, None] - middle[0], np.arange(width) - middle[1]
    rows, columns = (
        part[0][:, None, None] * down + part[1][:, None, None] * right + start
        for part, start in zip(maps, middle, strict=True)
    )
    return sample(framed, rows, columns, _to_frame)[:, :, 1:-1, 1:-1]


def _to_frame(places: Places, length: int) -> Places:
    return np.clip(places, 0, length - 1)


# A negative of both sides, and lines across the image.


def stripe(images: Bytes, row: Row, draws: Draws) -> Bytes:
    """Make a negative of ``row[0]`` columns, rounded to whole ones, at the left edge and at the right edge.

    What is left as it was is the stripe: in the published set the middle half.
    """
    width = math.floor(row[0] + 0.5)
    striped = images.copy()
    for side in (striped[..., :width], striped[..., -width:]):
        np.subtract(255, side, out=side)
    return striped


def dotted_line(images: Bytes, row: Row, draws: Draws) -> Floats:
    """Draw ``row[0]`` dotted white lines from the left edge to the right edge.

    Each starts and ends at a height of its own, uniform over the image. Gaps and dots of ``row[2]`` columns alternate.
    Lines fade as :func:`stroke` says, over ``row[1]`` pixels.
    """
    height, width = images.shape[2:]
    columns = np.arange(width)
    seen = (np.floor(columns / row[2]) % 2 == 1) & (columns < width - 1)
    levels = images.astype(np.float32)
    for target, heights in zip(levels, (height - 1) * draws.uniform(int(row[0]), 2).astype(float), strict=True):
        for start, end in heights:
            line = np.interp(columns, (0, width - 1), (start, end))
            target += stroke(line, height, row[1]) * seen
    return levels


def zigzag(images: Bytes, row: Row, draws: Draws) -> Floats:
    """Draw ``row[0]`` white zigzags from left to right, ``row[4]`` pixels short of both edges.

    Each follows a straight line that starts at any height and rises or falls by up to ``row[3]`` pixels. Its corners
    lie ``row[2]`` pixels off that line, on this side and that, and twice as far apart along it. Lines fade as
    :func:`stroke` says, over ``row[1]`` pixels. The published corners may be a little brighter: where one lies between
    two columns, both of its sides are drawn there.
    """
    height, width = images.shape[2:]
    columns: Doubles = np.arange(width, dtype=np.float64)
    seen = (columns >= math.floor(row[4])) & (columns < width - 1 - row[4])
    levels = images.astype(np.float32)
    for target, lines in zip(levels, draws.uniform(int(row[0]), 2).astype(float), strict=True):
        for start, rise in lines:
            line = teeth(columns - np.float64(row[4]), width - 1 - 2 * row[4], row[3] * (2 * rise - 1), row[2])
            target += stroke((height - 1) * start + line, height, row[1]) * seen
    return levels


def teeth(columns: Doubles, run: float, rise: float, tooth: float) -> Doubles:
    """Return the height of a zigzag at each column, 0 at the start of its middle line.

    Args:
        columns: from the start of the middle line, in pixels, shape (W,).
        run: of the middle line, in columns.
        rise: of the middle line over ``run``, less than that.
        tooth: distance of a corner from the middle line; corners are twice as far apart along it.
    """
    angle = math.atan2(rise, run)
    count = math.ceil(math.hypot(run, rise) / (2 * tooth)) + 1
    along = tooth * np.concatenate([[0], 2 * np.arange(count) + 1])
    across = tooth * np.concatenate([[0], 1 - 2 * (np.arange(count) % 2)])
    corners = math.cos(angle) * along - math.sin(angle) * across
    heights: Doubles = np.interp(columns, corners, math.sin(angle) * along + math.cos(angle) * across)
    return heights


def stroke(line: Doubles, height: int, reach: float) -> Floats:
    """Return the light of a line, white being 255, of shape (H, W), from its height (W,) in each column.

    It is ``1 + log(1 - d / reach)`` at ``d`` pixels above or below, and nothing where that is negative: from about
    0.63 ``reach`` on.
    """
    distance = np.abs(np.arange(height)[:, None] - line)
    light: Floats = (255 * np.maximum(0, 1 + np.log1p(-np.minimum(distance / reach, 0.9)))).astype(np.float32)
    return light


# The edges alone.


Flags = npt.NDArray[np.bool_]


def canny_edges(images: Bytes, row: Row, draws: Draws) -> Floats:
    """Mix the image with its edges, white on black, of which ``row[3]`` is the share; at 1 there are edges alone.

    The edges are those of :func:`outlines` in the grey of the image.
    """
    levels = images.astype(np.float32)
    edges = outlines(luma(levels)[:, 0] / np.float32(255), *row[:3])[:, None]
    levels *= np.float32(1 - row[3])
    levels += edges * np.float32(255 * row[3])
    return levels


def outlines(grey: Floats, sigma: float, low: float, high: float) -> Flags:
    """Return the edges of grey images by Canny's method (1986), with the conventions of scikit-image.

    The image is blurred by a Gaussian, whose weights beyond the image are shared among those within. The gradient is
    Sobel's over 3 x 3 pixels, its strength the length of that vector.
    A pixel is on a ridge if no strength on the square of its eight neighbours, ahead or behind in the direction of the
    gradient, is greater; there it is interpolated linearly. Ridges of ``high`` are edges, and so are those of ``low``
    that hang together with them. The outermost pixels are none.

    :func:`tide.corruptions.weather.canny` has the conventions of OpenCV, which the published spatter needs.

    Args:
        grey: white being 1, shape (B, H, W).
        sigma: standard deviation of the Gaussian in pixels.
        low: strength that continues an edge.
        high: strength that starts an edge.

    Returns:
        Shape (B, H, W).
    """
    blurred = ndimage.gaussian_filter(grey.astype(float), (0, sigma, sigma), mode="constant")
    blurred /= ndimage.gaussian_filter(np.ones(grey.shape[1:]), sigma, mode="constant")
    down, right = (
        ndimage.correlate1d(ndimage.correlate1d(blurred, (-1, 0, 1), axis), (1, 2, 1), 3 - axis) for axis in (1, 2)
    )
    strength = np.hypot(down, right)
    longer = np.maximum(np.abs(down), np.abs(right))
    longer[longer == 0] = 1
    image, rows, columns = np.indices(grey.shape)
    ridge = strength >= low
    for sign in (-1, 1):
        places = (image, rows + sign * down / longer, columns + sign * right / longer)
        ridge &= ndimage.map_coordinates(strength, places, order=1, mode="nearest") <= strength
    inside = np.zeros(grey.shape[1:], dtype=bool)
    inside[1:-1, 1:-1] = True
    ridge &= inside
    together = np.zeros((3, 3, 3), dtype=bool)
    together[1] = True  # pixels of one image only
    parts, count = ndimage.label(ridge, structure=together)
    started = np.zeros(count + 1, dtype=bool)
    started[parts[ridge & (strength >= high)]] = True
    started[0] = False
    edges: Flags = started[parts]
    return edges

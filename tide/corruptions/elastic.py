"""Rubber: the image drawn out of shape as a whole and then place by place."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tide.corruptions.draws import Bytes, Draws, Floats
from tide.corruptions.tables import Row

Doubles = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
Fold = Callable[[Places, int], Places]


def elastic_transform(images: Bytes, row: Row, draws: Draws) -> Floats:
    """Move three points and all the rest with them, then move each pixel like its neighbours.

    Three corners of the square in the middle, two thirds of the shorter side wide, move by up to ``row[2]`` pixels in
    both directions: an affine map. Then each pixel moves by ``row[0]`` times uniform noise in -1..1 that a Gaussian of
    ``row[1]`` pixels has smoothed (Simard, Steinkraus and Platt, 2003). Each time the values are interpolated
    linearly; beyond the edge the image goes on mirrored, in the first step about the outer pixels, in the second about
    the outer border. Without strength (``row[0]`` = 0) the second step is left out.
    """
    count, _, height, width = images.shape
    strength, smoothness, corner = row
    local = strength > 0
    moved = np.empty((count, 3, 2))
    noise = np.empty((count, 2, height, width) if local else (count, 0))
    for i, generator in enumerate(draws):
        moved[i] = generator.random((3, 2))
        if local:
            noise[i] = generator.random((2, height, width), dtype=np.float32)
    levels = sample(images.astype(np.float32), *affine(corner * (2 * moved - 1), height, width), mirror_about_pixel)
    if not local:
        return levels
    noise *= 2
    noise -= 1
    field = smoothing(height, smoothness) @ noise @ smoothing(width, smoothness).T
    field *= strength
    field[:, 0] += np.arange(height)[:, None]
    field[:, 1] += np.arange(width)
    return sample(levels, field[:, 0], field[:, 1], mirror_about_border)


def affine(moves: Doubles, height: int, width: int) -> tuple[Doubles, Doubles]:
    """Return from which row and column each pixel comes when three corners of the middle square are moved.

    Args:
        moves: columns right and rows down by which the corners move, shape (B, 3, 2).
        height: of the image.
        width: of the image.

    Returns:
        Rows and columns, each of shape (B, H, W).
    """
    reach = min(height, width) // 3
    signs = np.array([[1, 1], [1, -1], [-1, -1]])
    before = np.array([width // 2, height // 2]) + reach * signs
    after = before + moves
    # From the pixel's place back to its source: the source is linear in the place relative to the first corner.
    first, second = after[:, 1] - after[:, 0], after[:, 2] - after[:, 0]
    area = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    right = np.arange(width) - after[:, 0, 0, None, None]
    down = np.arange(height)[:, None] - after[:, 0, 1, None, None]
    along = _scaled(second[:, 1], area) * right - _scaled(second[:, 0], area) * down
    across = _scaled(first[:, 0], area) * down - _scaled(first[:, 1], area) * right
    columns, rows = (
        before[0, axis] + along * (before[1, axis] - before[0, axis]) + across * (before[2, axis] - before[0, axis])
        for axis in (0, 1)
    )
    return rows, columns


def _scaled(values: Doubles, area: Doubles) -> Doubles:
    scaled: Doubles = (values / area)[:, None, None]
    return scaled


def mirror_about_pixel(places: Places, length: int) -> Places:
    """Fold places beyond the edge back, the outer pixel being the mirror: -1 becomes 1."""
    folded: Places = np.abs(places) % max(1, 2 * length - 2)
    return np.minimum(folded, 2 * length - 2 - folded)


def mirror_about_border(places: Places, length: int) -> Places:
    """Fold places beyond the edge back, the outer border being the mirror: -1 becomes 0."""
    folded = places % (2 * length)
    return np.minimum(folded, 2 * length - 1 - folded)


def sample(levels: Floats, rows: Doubles, columns: Doubles, fold: Fold) -> Floats:
    """Interpolate images (B, C, H, W) linearly at places (B, H, W); ``fold`` says what lies beyond the edge."""
    batch, channels, height, width = levels.shape
    top, left = np.floor(rows), np.floor(columns)
    down, right = (rows - top).astype(np.float32), (columns - left).astype(np.float32)
    whole_top, whole_left = top.astype(np.int64), left.astype(np.int64)
    tops = [fold(whole_top + i, height) * width for i in (0, 1)]
    lefts = [fold(whole_left + i, width) for i in (0, 1)]
    starts = np.arange(batch)[:, None, None] * (channels * height * width)
    places = [[upper + side + starts for side in lefts] for upper in tops]
    values = levels.ravel()
    sampled = np.empty_like(levels)
    for channel in range(channels):
        part = values[channel * height * width :]
        pairs = []
        for first, second in places:
            near, far = part.take(first), part.take(second)
            far -= near
            far *= right
            pairs.append(near + far)
        upper, lower = pairs
        lower -= upper
        lower *= down
        np.add(upper, lower, out=sampled[:, channel])
    return sampled


@lru_cache(maxsize=16)
def smoothing(length: int, sigma: float) -> Doubles:
    """Return the matrix (length, length) that smooths a line by ``sigma`` pixels, cut off at 3 sigma, edge mirrored.

    With it, smoothing costs the same for any ``sigma``: at 224 pixels the published ones are up to 171 wide.
    """
    matrix: Doubles = ndimage.gaussian_filter1d(np.eye(length), sigma, axis=0, mode="reflect", truncate=3.0)
    return matrix

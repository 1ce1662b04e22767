"""Drops of water or splashes of mud on the lens."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tide.corruptions.blur import smooth
from tide.corruptions.colour import luma
from tide.corruptions.draws import Bytes, Draws, Floats
from tide.corruptions.edges import canny
from tide.corruptions.tables import Row

WATER = (175, 238, 238)  # pale turquoise
MUD = (63, 42, 20)
_FAR = 20  # pixels from a rim beyond which all of a drop looks alike
_RELIEF = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])  # light from the upper left


def spatter(images: Bytes, row: Row, draws: Draws) -> Floats:
    """Let drops fall where smooth noise exceeds ``row[3]``.

    The noise is normal of mean ``row[0]`` and standard deviation ``row[1]``, smoothed by ``row[2]`` pixels. With
    ``row[5]`` = 0 the drops are water of strength ``row[4]``, shaded by :func:`shade`, which lightens the image; else
    mud, whose rim is softened by ``row[5]`` pixels, which hides it. On a grey image both have the grey of their colour.
    """
    liquid = draws.normal(*images.shape[2:])
    liquid *= np.float32(row[1])
    liquid += np.float32(row[0])
    liquid = smooth(liquid, row[2])
    liquid[liquid < np.float32(row[3])] = 0
    levels = images.astype(np.float32)
    if row[5] == 0:
        drops = np.minimum(liquid * 255 + np.float32(1 / 512), 255).astype(np.uint8)
        film = np.stack([shade(one) for one in drops])[:, None]
        levels += film * np.float32(row[4]) * _colour(WATER, images.shape[1])
        return levels
    cover = smooth((liquid > 0).astype(np.float32), row[5])[:, None]
    cover[cover < np.float32(0.8)] = 0
    levels *= 1 - cover
    levels += cover * _colour(MUD, images.shape[1])
    return levels


def shade(drops: Bytes) -> Floats:
    """Return how much light drops (H, W) add, 0 to 1: their height times a relief that rises from their rims.

    The rims are the Canny edges at 50 and 150. The distance from them, cut off at 20 pixels, is averaged over 3 x 3,
    spread evenly over 0..255, lit from one side and averaged again, in whole numbers where the published sets have
    them. The distance is OpenCV's approximation for a 5 x 5 mask, taken to the nearest rim in the exact sense.
    """
    rims = canny(drops, 50, 150)
    distance = np.full(drops.shape, _FAR, np.float64)
    if rims.any():
        nearest = ndimage.distance_transform_edt(~rims, return_distances=False, return_indices=True)
        distance = np.minimum(_chamfer(*(nearest - np.indices(drops.shape))), _FAR)
    lit = spread(_mean(distance).astype(np.uint8))
    lit = np.clip(ndimage.correlate(lit.astype(np.int64), _RELIEF, mode="mirror"), 0, 255)
    relief = np.floor(_mean(lit.astype(np.float64)) + 0.5)
    film: Floats = (drops * relief).astype(np.float32)
    film /= max(film.max(), np.float32(1))
    return film


def spread(values: Bytes) -> Bytes:
    """Return values whose cumulative shares are even over 0..255: equalisation of the histogram, as in OpenCV."""
    counts = np.bincount(values.ravel(), minlength=256)
    lowest = int(np.flatnonzero(counts)[0])
    rest = values.size - int(counts[lowest])
    if rest == 0:
        return values
    counts[lowest] = 0
    levels: Bytes = np.rint(counts.cumsum() * (255 / rest)).astype(np.uint8)
    return levels[values]


def _mean(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    # Added up line by line, whole numbers stay whole until the division.
    ones = np.ones(3)
    total = ndimage.correlate1d(ndimage.correlate1d(values, ones, 0, mode="mirror"), ones, 1, mode="mirror")
    mean: npt.NDArray[np.float64] = total / 9
    return mean


def _chamfer(down: npt.NDArray[np.int64], right: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Length of the shortest way of straight (1), diagonal (1.4) and knight's moves (2.1969)."""
    down, right = np.abs(down), np.abs(right)
    long, short = np.maximum(down, right), np.minimum(down, right)
    ways: npt.NDArray[np.float64] = np.where(2 * short <= long, long + 0.1969 * short, 0.7969 * long + 0.6031 * short)
    return ways


def _colour(colour: tuple[int, int, int], channels: int) -> Floats:
    levels = np.asarray(colour, np.float32).reshape(1, 3, 1, 1)
    return levels if channels == 3 else luma(levels)

"""Motion towards the scene while the shutter is open, and the enlargement that it is made of."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import sparse

from tide.corruptions.draws import Bytes, Draws, Floats
from tide.corruptions.tables import Row


def zoom_blur(images: Bytes, row: Row, draws: Draws) -> Floats:
    """Return the mean of the image and of its middle enlarged by each of the factors ``numpy.arange(*row)``."""
    batch, channels, height, width = images.shape
    columns = np.ascontiguousarray(images.reshape(batch * channels, height * width).T, np.float32)
    blurred = _operator(height, width, *row) @ columns
    return np.ascontiguousarray(blurred.T).reshape(images.shape)


def lines(length: int, factor: float) -> tuple[int, int, npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return how the middle of ``length`` pixels is enlarged by ``factor`` so as to fill them again.

    The middle, ceil(length / factor) pixels, is stretched to round(that * factor) with its first and last pixel at the
    ends, and what sticks out is cut off equally on both sides: the rule with which the published sets were made.

    Returns:
        The first pixel of the middle, how many it has, and for each of the ``length`` new pixels, the one to its left
        within the middle, shape (length,), and how far it lies beyond, 0 to 1, shape (length,).
    """
    kept = math.ceil(length / factor)
    stretched = round(kept * factor)
    places = np.arange(length) + (stretched - length) // 2
    exact = places * ((kept - 1) / max(1, stretched - 1))
    left = np.clip(np.floor(exact), 0, max(0, kept - 2)).astype(np.int64)
    return (length - kept) // 2, kept, left, exact - left


def enlarge(middle: Floats, height: int, width: int, factor: float) -> Floats:
    """Enlarge the middle (B, h, w) of images as :func:`lines` says to shape (B, height, width), linearly."""
    for axis, length in ((1, height), (2, width)):
        _, kept, left, beyond = lines(length, factor)
        shape = (-1, 1) if axis == 1 else (-1,)
        weight = beyond.astype(np.float32).reshape(shape)
        first, second = middle.take(left, axis), middle.take(np.minimum(left + 1, kept - 1), axis)
        second -= first
        second *= weight
        middle = first + second
    return middle


@lru_cache(maxsize=8)
def _operator(height: int, width: int, first: float, end: float, step: float) -> sparse.csr_array:
    # Many factors read the same few pixels: added up once and for all, an image costs one pass instead of dozens.
    factors = np.arange(first, end, step)
    total = sparse.csr_array(sparse.identity(height * width, format="csr"))
    for factor in factors.tolist():
        total = total + sparse.kron(_along(height, factor), _along(width, factor), format="csr")
    return sparse.csr_array(total / (len(factors) + 1), dtype=np.float32)


def _along(length: int, factor: float) -> sparse.csr_array:
    top, kept, left, beyond = lines(length, factor)
    new = np.arange(length)
    weights = np.concatenate([1 - beyond, beyond])
    sources = np.concatenate([left, np.minimum(left + 1, kept - 1)]) + top
    along = sparse.csr_array((weights, (np.concatenate([new, new]), sources)), shape=(length, length))
    along.eliminate_zeros()
    return along

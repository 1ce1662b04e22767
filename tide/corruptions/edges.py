"""Edges of a grey image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tide.corruptions.draws import Bytes

Flags = npt.NDArray[np.bool_]


def canny(image: Bytes, low: int, high: int) -> Flags:
    """Return the edges of an image by Canny's method (1986), with the conventions of OpenCV.

    The gradient is Sobel's over 3 x 3 pixels with the edge of the image continued, its strength the sum of the two
    absolute parts. A pixel is on a ridge if it is stronger than its two neighbours in the direction of the gradient,
    rounded to 45 degrees. Ridges above ``high`` are edges, and so are those above ``low`` that hang together with them.

    Args:
        image: shape (H, W).
        low: strength that continues an edge.
        high: strength that starts an edge.

    Returns:
        Shape (H, W).
    """
    wide = image.astype(np.int64)
    right = ndimage.sobel(wide, axis=1, mode="nearest")
    down = ndimage.sobel(wide, axis=0, mode="nearest")
    strength = np.abs(right) + np.abs(down)
    height, width = image.shape
    around = np.pad(strength, 1)

    def neighbour(rows: int, columns: int) -> npt.NDArray[np.int64]:
        return around[1 + rows : 1 + rows + height, 1 + columns : 1 + columns + width]

    # tan 22.5 and tan 67.5 degrees, times 2**15, in whole numbers.
    steep, flat = np.abs(down) << 15, np.abs(right) * 13573
    horizontal = steep < flat
    vertical = steep > flat + (np.abs(right) << 16)
    falling = (right ^ down) >= 0
    ridge = np.where(
        horizontal,
        (strength > neighbour(0, -1)) & (strength >= neighbour(0, 1)),
        np.where(
            vertical,
            (strength > neighbour(-1, 0)) & (strength >= neighbour(1, 0)),
            np.where(
                falling,
                (strength > neighbour(-1, -1)) & (strength > neighbour(1, 1)),
                (strength > neighbour(-1, 1)) & (strength > neighbour(1, -1)),
            ),
        ),
    )
    ridge &= strength > low
    parts, count = ndimage.label(ridge, structure=np.ones((3, 3)))
    started = np.zeros(count + 1, dtype=bool)
    started[parts[ridge & (strength > high)]] = True
    started[0] = False
    edges: Flags = started[parts]
    return edges

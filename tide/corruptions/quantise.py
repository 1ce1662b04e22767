"""From computed values back to pixels."""

from __future__ import annotations

import numpy as np

from tide.corruptions.draws import Bytes, Floats

_ALLOWANCE = np.float32(1 / 512)  # more than the rounding errors of single precision, less than anyone sees


def to_bytes(values: Floats | Bytes) -> Bytes:
    """Return values on the scale 0..255 as pixels, cut off at both ends and rounded down; pixels as they are.

    Rounded down, not to the nearest, since the published sets were. The small allowance keeps 126.99998, which
    exact arithmetic would have made 127, from becoming 126.
    """
    if values.dtype == np.uint8:
        return values.astype(np.uint8, copy=False)
    levels = values + _ALLOWANCE
    np.clip(levels, 0, 255, out=levels)
    return levels.astype(np.uint8)

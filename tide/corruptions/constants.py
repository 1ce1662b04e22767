"""The published strengths of the corruptions at three image sizes, and how they carry over to others."""

from __future__ import annotations

import math
from typing import Final

from tide.corruptions.tables import TABLES, Row

CORRUPTIONS: Final = (
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
)
"""The 15 corruptions over which ImageNet-C is scored, in the order of the paper."""

EXTRA: Final = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
"""The 4 that the paper keeps apart, for choosing settings without looking at the other 15."""

# What the numbers of a row mean, in their order. Those with a star are lengths in pixels.
MEANINGS: Final[dict[str, tuple[str, ...]]] = {
    "gaussian_noise": ("standard deviation, white = 1",),
    "shot_noise": ("photons that make white",),
    "impulse_noise": ("share of values replaced",),
    "speckle_noise": ("standard deviation relative to the value",),
    "gaussian_blur": ("standard deviation*",),
    "glass_blur": ("standard deviation of the blur*", "farthest move*", "rounds"),
    "defocus_blur": ("radius", "standard deviation that softens its rim", "scale of the two*"),
    "motion_blur": ("radius*", "standard deviation*"),
    "zoom_blur": ("first factor", "end, exclusive up to rounding", "step"),
    "snow": ("mean", "deviation", "size of flakes*", "threshold", "radius*", "deviation of motion*", "share of image"),
    "frost": ("weight of the image", "weight of the frost", "scale of the frost, photograph = 1*"),
    "fog": ("thickness", "decay of the relief from one octave to the next"),
    "spatter": ("mean", "deviation", "size of drops*", "threshold", "strength of water, else 0", "rim of mud*, else 0"),
    "brightness": ("added to the value, white = 1",),
    "saturate": ("factor", "added"),
    "contrast": ("factor",),
    "elastic_transform": ("strength of the moves*", "smoothness of the moves*", "farthest move of a corner*"),
    "pixelate": ("side after shrinking, share",),
    "jpeg_compression": ("quality",),
}


def constants(name: str, severity: int, side: int) -> Row:
    """Return the numbers of a corruption at a severity for images whose shorter side is ``side``.

    At 32, 64 and 224 they are those of CIFAR-10-C, Tiny-ImageNet-C and ImageNet-C. Any other size takes the table
    nearest in ratio (up to 45 that of 32, up to 119 that of 64, above that of 224) and multiplies the lengths in
    pixels by ``side`` over the size of the table: at 28 by 28/32. All else is free of scale and stays.

    Args:
        name: one of :data:`CORRUPTIONS` or :data:`EXTRA`.
        severity: 1 to 5.
        side: in pixels.
    """
    table = min(TABLES, key=lambda size: abs(math.log(size / side)))
    row = TABLES[table][name][severity - 1]
    return tuple(
        value * side / table if meaning.endswith("*") else value
        for value, meaning in zip(row, MEANINGS[name], strict=True)
    )

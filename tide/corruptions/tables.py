"""The published strengths of every corruption: CIFAR-10-C, Tiny-ImageNet-C, ImageNet-C and MNIST-C.

All but those marked at MNIST-C are published facts: Dan Hendrycks and Thomas Dietterich, "Benchmarking neural network
robustness to common corruptions and perturbations", arXiv 1903.12261, and the programs that made the sets,
github.com/hendrycks/robustness; Norman Mu and Justin Gilmer, "MNIST-C: a robustness benchmark for computer vision",
arXiv 1906.02337, and their program. Each is named at its table. What the numbers mean stands in :data:`MEANINGS`.
"""

from __future__ import annotations

import math
from typing import Final

Row = tuple[float, ...]
Rows = tuple[Row, Row, Row, Row, Row]  # severities 1 to 5


def _single(*values: float) -> Rows:
    first, second, third, fourth, fifth = ((value,) for value in values)
    return first, second, third, fourth, fifth


def _times(side: int, *rows: Row) -> Rows:
    first, second, third, fourth, fifth = (tuple(side * value for value in row) for row in rows)
    return first, second, third, fourth, fifth


# CIFAR-10-C, 32 pixels: ImageNet-C/create_c/make_cifar_c.py. The scale of the frost is that of its cv2.resize.
_CIFAR: Final[dict[str, Rows]] = {
    "gaussian_noise": _single(0.04, 0.06, 0.08, 0.09, 0.10),
    "shot_noise": _single(500, 250, 100, 75, 50),
    "impulse_noise": _single(0.01, 0.02, 0.03, 0.05, 0.07),
    "speckle_noise": _single(0.06, 0.1, 0.12, 0.16, 0.2),
    "gaussian_blur": _single(0.4, 0.6, 0.7, 0.8, 1),
    "glass_blur": ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
    "defocus_blur": ((0.3, 0.4, 1), (0.4, 0.5, 1), (0.5, 0.6, 1), (1, 0.2, 1), (1.5, 0.1, 1)),
    "motion_blur": ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
    "zoom_blur": ((1, 1.06, 0.01), (1, 1.11, 0.01), (1, 1.16, 0.01), (1, 1.21, 0.01), (1, 1.26, 0.01)),
    "snow": (
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    ),
    "frost": ((1, 0.2, 0.2), (1, 0.3, 0.2), (0.9, 0.4, 0.2), (0.85, 0.4, 0.2), (0.75, 0.45, 0.2)),
    "fog": ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
    "spatter": (
        (0.62, 0.1, 0.7, 0.7, 0.5, 0),
        (0.65, 0.1, 0.8, 0.7, 0.5, 0),
        (0.65, 0.3, 1, 0.69, 0.5, 0),
        (0.65, 0.1, 0.7, 0.69, 0, 0.6),
        (0.65, 0.1, 0.5, 0.68, 0, 0.6),
    ),
    "brightness": _single(0.05, 0.1, 0.15, 0.2, 0.3),
    "saturate": ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
    "contrast": _single(0.75, 0.5, 0.4, 0.3, 0.15),
    "elastic_transform": _times(
        32,
        (0, 0, 0.08),
        (0.05, 0.2, 0.07),
        (0.08, 0.06, 0.06),
        (0.1, 0.04, 0.05),
        (0.1, 0.03, 0.03),
    ),
    "pixelate": _single(0.95, 0.9, 0.85, 0.75, 0.65),
    "jpeg_compression": _single(80, 65, 58, 50, 40),
}

# Tiny-ImageNet-C, 64 pixels: ImageNet-C/create_c/make_tinyimagenet_c.py.
_TINY: Final[dict[str, Rows]] = {
    "gaussian_noise": _single(0.04, 0.08, 0.12, 0.15, 0.18),
    "shot_noise": _single(250, 100, 50, 30, 15),
    "impulse_noise": _single(0.01, 0.02, 0.05, 0.08, 0.14),
    "speckle_noise": _single(0.15, 0.2, 0.25, 0.3, 0.35),
    "gaussian_blur": _single(0.5, 0.75, 1, 1.25, 1.5),
    "glass_blur": ((0.1, 1, 1), (0.5, 1, 1), (0.6, 1, 2), (0.7, 2, 1), (0.9, 2, 2)),
    "defocus_blur": ((0.5, 0.6, 1), (1, 0.1, 1), (1.5, 0.1, 1), (2.5, 0.01, 1), (3, 0.1, 1)),
    "motion_blur": ((10, 1), (10, 1.5), (10, 2), (10, 2.5), (12, 3)),
    "zoom_blur": ((1, 1.06, 0.01), (1, 1.11, 0.01), (1, 1.16, 0.01), (1, 1.21, 0.01), (1, 1.26, 0.01)),
    "snow": (
        (0.1, 0.2, 1, 0.6, 8, 3, 0.8),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.8),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.7),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.65),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.6),
    ),
    "frost": ((1, 0.3, 0.3), (0.9, 0.4, 0.3), (0.8, 0.45, 0.3), (0.75, 0.5, 0.3), (0.7, 0.55, 0.3)),
    "fog": ((0.4, 3), (0.7, 3), (1, 2.5), (1.5, 2), (2, 1.75)),
    "spatter": (
        (0.62, 0.1, 0.7, 0.7, 0.6, 0),
        (0.65, 0.1, 0.8, 0.7, 0.6, 0),
        (0.65, 0.3, 1, 0.69, 0.6, 0),
        (0.65, 0.1, 0.7, 0.68, 0, 0.6),
        (0.65, 0.1, 0.5, 0.67, 0, 0.6),
    ),
    "brightness": _single(0.1, 0.2, 0.3, 0.4, 0.5),
    "saturate": ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (30, 0.2)),
    "contrast": _single(0.4, 0.3, 0.2, 0.1, 0.05),
    "elastic_transform": _times(
        64,
        (0, 0, 0.08),
        (0.05, 0.3, 0.06),
        (0.1, 0.08, 0.06),
        (0.1, 0.03, 0.03),
        (0.16, 0.03, 0.02),
    ),
    "pixelate": _single(0.9, 0.8, 0.7, 0.6, 0.5),
    "jpeg_compression": _single(65, 58, 50, 40, 25),
}

# ImageNet-C, 224 pixels: ImageNet-C/imagenet_c/imagenet_c/corruptions.py, whose elastic transform counts in 244ths.
_IMAGENET: Final[dict[str, Rows]] = {
    "gaussian_noise": _single(0.08, 0.12, 0.18, 0.26, 0.38),
    "shot_noise": _single(60, 25, 12, 5, 3),
    "impulse_noise": _single(0.03, 0.06, 0.09, 0.17, 0.27),
    "speckle_noise": _single(0.15, 0.2, 0.35, 0.45, 0.6),
    "gaussian_blur": _single(1, 2, 3, 4, 6),
    "glass_blur": ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    "defocus_blur": ((3, 0.1, 1), (4, 0.5, 1), (6, 0.5, 1), (8, 0.5, 1), (10, 0.5, 1)),
    "motion_blur": ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    "zoom_blur": ((1, 1.11, 0.01), (1, 1.16, 0.01), (1, 1.21, 0.02), (1, 1.26, 0.02), (1, 1.31, 0.03)),
    "snow": (
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    ),
    "frost": ((1, 0.4, 1), (0.8, 0.6, 1), (0.7, 0.7, 1), (0.65, 0.7, 1), (0.6, 0.75, 1)),
    "fog": ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    "spatter": (
        (0.65, 0.3, 4, 0.69, 0.6, 0),
        (0.65, 0.3, 3, 0.68, 0.6, 0),
        (0.65, 0.3, 2, 0.68, 0.5, 0),
        (0.65, 0.3, 1, 0.65, 0, 1.5),
        (0.67, 0.4, 1, 0.65, 0, 1.5),
    ),
    "brightness": _single(0.1, 0.2, 0.3, 0.4, 0.5),
    "saturate": ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
    "contrast": _single(0.4, 0.3, 0.2, 0.1, 0.05),
    "elastic_transform": _times(
        244,
        (2, 0.7, 0.1),
        (2, 0.08, 0.2),
        (0.05, 0.01, 0.02),
        (0.07, 0.01, 0.02),
        (0.12, 0.01, 0.02),
    ),
    "pixelate": _single(0.6, 0.5, 0.4, 0.3, 0.25),
    "jpeg_compression": _single(25, 18, 15, 10, 7),
}

TABLES: Final = {32: _CIFAR, 64: _TINY, 224: _IMAGENET}

# MNIST-C, 28 pixels: corruptions.py of github.com/google-research/mnist-c. The set was made at one severity each. The
# first four have five in the program, and the set has the 2nd, 2nd, 3rd and 3rd. The others have one alone; the steps
# to and from it are chosen here: of the stripe it is the 3rd, of the lines the 1st, of the edges the 5th. The blur
# before the edges is against the noise of pixels. It stays one pixel at all sizes: at 224 pixels the edges after a blur
# of eight show nothing of a photo.
_MNIST: Final[dict[str, Rows]] = {
    "shear": _single(0.2, 0.4, 0.6, 0.8, 1),
    "rotate": _single(0.2, 0.4, 0.6, 0.8, 1),
    "scale": _single(0.9, 0.8, 0.7, 0.6, 0.5),
    "translate": _single(1, 2, 3, 4, 5),
    "stripe": _single(3, 5, 7, 9, 11),
    "dotted_line": ((1, 2.3, 2), (2, 2.3, 2), (3, 2.3, 2), (4, 2.3, 2), (5, 2.3, 2)),
    "zigzag": ((1, 2.3, 2, 5, 2), (2, 2.3, 2, 5, 2), (3, 2.3, 2, 5, 2), (4, 2.3, 2, 5, 2), (5, 2.3, 2, 5, 2)),
    "canny_edges": (
        (1, 0.1, 0.2, 0.2),
        (1, 0.1, 0.2, 0.4),
        (1, 0.1, 0.2, 0.6),
        (1, 0.1, 0.2, 0.8),
        (1, 0.1, 0.2, 1),
    ),
}
_MNIST_SIDE: Final = 28


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

MNIST_C: Final = tuple(_MNIST)
"""The 8 of MNIST-C that ImageNet-C lacks; its other 7 are among those above."""

_FINE: Final = 16  # pixels; below it a move is less than one pixel, and lines and edges are as wide as what they cross
_SMALLEST: Final = {"translate": _FINE, "dotted_line": _FINE, "zigzag": _FINE, "canny_edges": _FINE}


def smallest(name: str) -> int:
    """Return how many pixels the shorter side must have for a corruption to mean anything."""
    return _SMALLEST.get(name, 8)


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
    "shear": ("angle in radians",),
    "rotate": ("angle in radians",),
    "scale": ("factor",),
    "translate": ("move along both axes*",),
    "stripe": ("width on either side*",),
    "dotted_line": ("lines", "distance at which a line has faded*", "length of dots and gaps*"),
    "zigzag": ("lines", "distance at which a line has faded*", "height of a tooth*", "farthest rise*", "margin*"),
    "canny_edges": ("deviation of the blur", "strength that continues an edge", "that starts one", "share of edges"),
}


def constants(name: str, severity: int, side: int) -> Row:
    """Return the numbers of a corruption at a severity for images whose shorter side is ``side``.

    At 32, 64 and 224 they are those of CIFAR-10-C, Tiny-ImageNet-C and ImageNet-C. Any other size takes the table
    nearest in ratio (up to 45 that of 32, up to 119 that of 64, above that of 224) and multiplies the lengths in
    pixels by ``side`` over the size of the table: at 28 by 28/32. All else is free of scale and stays. Those of
    :data:`MNIST_C` have one table, of 28 pixels.

    Args:
        name: one of :data:`CORRUPTIONS`, :data:`EXTRA` or :data:`MNIST_C`.
        severity: 1 to 5.
        side: in pixels.
    """
    tables = {_MNIST_SIDE: _MNIST} if name in _MNIST else TABLES
    table = min(tables, key=lambda size: abs(math.log(size / side)))
    row = tables[table][name][severity - 1]
    return tuple(
        value * side / table if meaning.endswith("*") else value
        for value, meaning in zip(row, MEANINGS[name], strict=True)
    )

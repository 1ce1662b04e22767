"""Corrupt a batch of images of any size; each image has its own stream of random numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tide.corruptions import blur, mnist_c, noise, weather
from tide.corruptions.blur import glass_blur, motion_blur, zoom_blur
from tide.corruptions.draws import Draws, to_bytes
from tide.corruptions.noise import elastic_transform
from tide.corruptions.tables import CORRUPTIONS, EXTRA, MNIST_C, Row, constants, smallest
from tide.corruptions.weather import frost, spatter
from tide.data.sets import check_images
from tide.data.shifted import SEVERITIES
from tide.errors import DataError, did_you_mean

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_MIN_SIZE = 8  # pixels; on smaller images the corruptions lose their meaning
_PIECE = 2**18  # pixel values worked on at once: few enough for a core's cache, many enough to make calls cheap

_FUNCTIONS: Final[dict[str, Callable[[Bytes, Row, Draws], Bytes | Floats]]] = {
    "gaussian_noise": noise.gaussian_noise,
    "shot_noise": noise.shot_noise,
    "impulse_noise": noise.impulse_noise,
    "defocus_blur": blur.defocus_blur,
    "glass_blur": glass_blur,
    "motion_blur": motion_blur,
    "zoom_blur": zoom_blur,
    "snow": weather.snow,
    "frost": frost,
    "fog": weather.fog,
    "brightness": noise.brightness,
    "contrast": noise.contrast,
    "elastic_transform": elastic_transform,
    "pixelate": noise.pixelate,
    "jpeg_compression": noise.jpeg_compression,
    "speckle_noise": noise.speckle_noise,
    "gaussian_blur": blur.gaussian_blur,
    "spatter": spatter,
    "saturate": noise.saturate,
    "shear": mnist_c.shear,
    "rotate": mnist_c.rotate,
    "scale": mnist_c.scale,
    "translate": mnist_c.translate,
    "stripe": mnist_c.stripe,
    "dotted_line": mnist_c.dotted_line,
    "zigzag": mnist_c.zigzag,
    "canny_edges": mnist_c.canny_edges,
}


def corrupt(
    images: Tensor, name: str, severity: int, *, seed: int, first: int = 0, indices: Tensor | None = None
) -> Tensor:
    """Corrupt images as those of ImageNet-C, CIFAR-10-C, Tiny-ImageNet-C and MNIST-C are.

    The strengths are the published ones at 32, 64 and 224 pixels, for those of MNIST-C at 28;
    :func:`~tide.corruptions.tables.constants` states the rule for other sizes. Grey images keep one channel; the
    corruptions that need colour say what they do to them. Frost is drawn, not photographed
    (:mod:`tide.corruptions.weather`). The published photos were besides stored as JPEG of quality 85; nothing is
    stored here.

    An image's random numbers depend on ``seed``, its number in the data set, ``name`` and ``severity`` alone, and no
    image sees another: the bytes are the same whatever the size and order of the batches, the workers and the threads.
    Large batches are shared among ``torch.get_num_threads()`` threads. Another version of NumPy may draw other numbers,
    another JPEG library may store other bytes.

    Args:
        images: pixel values, uint8, shape (B, 1 or 3, H, W), each side at least 8 pixels, on any device.
            Four of MNIST-C need 16 (:func:`~tide.corruptions.tables.smallest`).
        name: one of :data:`CORRUPTIONS`, :data:`EXTRA` or :data:`MNIST_C`.
        severity: 1 (slight) to 5 (heavy).
        seed: any integer.
        first: number of the first image in its data set, where the images follow one another.
        indices: number of each image in its data set, integers, shape (B,), where they do not.

    Returns:
        New images of the type, shape and device of ``images``.

    Raises:
        DataError: an argument is not as above, or both ``first`` and ``indices`` are given.
    """
    numbers = _numbers(images, first, indices)
    _check(images, name, severity)
    row = constants(name, severity, min(images.shape[2:]))
    pixels: Bytes = images.detach().cpu().contiguous().numpy()
    corrupted = np.empty_like(pixels)

    def work(piece: slice) -> None:
        draws = Draws(numbers[piece], seed=seed, name=name, severity=severity)
        corrupted[piece] = to_bytes(_FUNCTIONS[name](pixels[piece], row, draws))

    size = max(1, _PIECE // pixels[0].size)
    pieces = [slice(start, start + size) for start in range(0, len(pixels), size)]
    threads = min(torch.get_num_threads(), len(pieces))
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, pieces))
    else:
        for piece in pieces:
            work(piece)
    return torch.from_numpy(corrupted).to(images.device)


def _numbers(images: Tensor, first: int, indices: Tensor | None) -> Sequence[int]:
    check_images(images)
    count = len(images)
    if indices is None:
        return range(first, first + count)
    if first != 0:
        raise DataError(f"first must be left out where indices are given, got {first}")
    if indices.shape != (count,) or indices.is_floating_point() or indices.is_complex() or indices.dtype == torch.bool:
        kind = str(indices.dtype).removeprefix("torch.")
        raise DataError(
            f"indices must be integers of shape ({count},), got {kind} of shape {tuple(indices.shape)}; "
            "give each image its number"
        )
    numbers: list[int] = indices.tolist()
    return numbers


def _check(images: Tensor, name: str, severity: int) -> None:
    if name not in _FUNCTIONS:
        known = (*CORRUPTIONS, *EXTRA, *MNIST_C)
        near = did_you_mean(name, known, known=False)
        raise DataError(f"unknown corruption {name!r}{near or '; known: ' + ', '.join(known)}")
    if not isinstance(severity, int) or isinstance(severity, bool) or severity not in SEVERITIES:
        raise DataError(f"severity must be 1 (slight) to 5 (heavy), got {severity!r}")
    channels, height, width = images.shape[1:]
    if channels not in (1, 3):
        raise DataError(f"images must have 1 (grey) or 3 (RGB) channels, got {channels}")
    if min(height, width) < _MIN_SIZE:
        raise DataError(f"images must have at least {_MIN_SIZE} x {_MIN_SIZE} pixels, got {height} x {width}")
    if min(height, width) < smallest(name):
        raise DataError(
            f"size must be at least {smallest(name)} for {name}, got {min(height, width)}; enlarge the images"
        )

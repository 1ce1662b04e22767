"""Blurs by a kernel that all images share."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from tide.corruptions.draws import Bytes, Draws, Floats
from tide.corruptions.tables import Row

_FEW = 64  # so many taps take about as long one by one as the Fourier transforms of a photo


def gaussian_blur(images: Bytes, row: Row, draws: Draws) -> Floats:
    """Blur with a Gaussian of standard deviation ``row[0]`` pixels; the edge is continued by its own values."""
    return smooth(images, row[0])


def defocus_blur(images: Bytes, row: Row, draws: Draws) -> Floats:
    """Blur with the disk of :func:`disk`, as a lens does that is out of focus; the edge is mirrored."""
    kernel = disk(*row)
    taps = np.argwhere(kernel)
    if len(taps) > _FEW:
        return _by_fourier(images, row)
    reach = len(kernel) // 2
    height, width = images.shape[2:]
    padded = np.pad(images.astype(np.float32), ((0, 0), (0, 0), (reach, reach), (reach, reach)), mode="reflect")
    blurred = np.zeros(images.shape, np.float32)
    part = np.empty_like(blurred)
    for top, left in taps:
        np.multiply(padded[:, :, top : top + height, left : left + width], np.float32(kernel[top, left]), out=part)
        blurred += part
    return blurred


@lru_cache(maxsize=16)
def disk(radius: float, rim: float, scale: float = 1.0) -> npt.NDArray[np.float64]:
    """Return the kernel of :func:`defocus_blur`: a disk of ``radius`` pixels whose rim a Gaussian softens.

    The Gaussian of standard deviation ``rim`` reaches over 3 x 3 pixels up to radius 8, else over 5 x 5. Like the
    published one it is mirrored at the border of the kernel. A disk that touches the border so gains weight there: at
    224 pixels and severities 4 and 5 the kernel sums to more than one, and the published images are a little brighter.
    Since a disk of whole pixels does not grow steadily with its radius, it is drawn at the published size and then
    scaled like an image: each weight is spread over the pixels that its pixel covers, enlarged by ``scale``.

    Returns:
        Weights, shape (K, K), K odd and no larger than needed.
    """
    reach, soft = (8, 1) if radius <= 8 else (math.ceil(radius), 2)
    place = np.arange(-reach, reach + 1)
    weights = (place[:, None] ** 2 + place**2 <= radius**2).astype(float)
    gaussian = np.exp(-(np.arange(-soft, soft + 1) ** 2) / (2 * rim**2))
    for axis in (0, 1):
        weights = ndimage.correlate1d(weights, gaussian / gaussian.sum(), axis=axis, mode="mirror")
    weights /= (place[:, None] ** 2 + place**2 <= radius**2).sum()
    weights = _covering(reach, scale) @ weights @ _covering(reach, scale).T
    weights[weights < 1e-9] = 0
    spare = int(np.flatnonzero(weights.any(0))[0])
    kernel: npt.NDArray[np.float64] = weights[spare : len(weights) - spare, spare : len(weights) - spare]
    return kernel


def _covering(reach: int, scale: float) -> npt.NDArray[np.float64]:
    """Shares of 2 * reach + 1 pixels, enlarged by ``scale`` about the middle one, that fall on each new pixel."""
    old, new = (
        np.arange(-reach, reach + 1),
        np.arange(-math.ceil(scale * (reach + 1)), math.ceil(scale * (reach + 1)) + 1),
    )
    upper = np.minimum((old + 0.5) * scale, new[:, None] + 0.5)
    lower = np.maximum((old - 0.5) * scale, new[:, None] - 0.5)
    shares: npt.NDArray[np.float64] = np.maximum(upper - lower, 0) / scale
    return shares


def taps(sigma: float, truncate: float = 4.0) -> npt.NDArray[np.float64]:
    """Return the weights 0, 1, ... pixels from the centre of a Gaussian cut off at ``truncate`` deviations, sum one."""
    place = np.arange(int(truncate * sigma + 0.5) + 1)
    weights: npt.NDArray[np.float64] = np.exp(-(place**2) / (2 * max(sigma, 1e-9) ** 2))
    weights /= 2 * weights.sum() - weights[0]
    return weights


def smooth(images: Bytes | Floats, sigma: float) -> Floats:
    """Blur the last two axes with a Gaussian of ``sigma`` pixels, cut off at 4 sigma, continuing the edge."""
    weights = taps(sigma).astype(np.float32)
    blurred = images.astype(np.float32)
    reach = len(weights) - 1
    if reach == 0:
        return blurred
    for axis in (-1, -2):
        length = blurred.shape[axis]
        margins = [(0, 0)] * blurred.ndim
        margins[axis] = (reach, reach)
        lines = np.moveaxis(np.pad(blurred, margins, mode="edge"), axis, 0)
        target = np.moveaxis(blurred, axis, 0)
        np.multiply(lines[reach : reach + length], weights[0], out=target)
        for offset in range(1, reach + 1):
            # Two neighbours at the same distance have one weight: a product less.
            pair = lines[reach - offset : reach - offset + length] + lines[reach + offset : reach + offset + length]
            pair *= weights[offset]
            target += pair
    return blurred


def _by_fourier(images: Bytes, row: Row) -> Floats:
    height, width = images.shape[2:]
    reach = len(disk(*row)) // 2
    shape = (fft.next_fast_len(height + 2 * reach, True), fft.next_fast_len(width + 2 * reach, True))
    # Double precision, so that the last bits, which differ between machines, never decide a byte.
    padded = np.pad(images.astype(np.float64), ((0, 0), (0, 0), (reach, reach), (reach, reach)), mode="reflect")
    blurred = fft.irfft2(fft.rfft2(padded, shape) * _spectrum(*row, *shape), shape)
    # A kernel symmetric in both directions: its correlation is its convolution, which starts 2 * reach later.
    cut: Floats = blurred[:, :, 2 * reach : 2 * reach + height, 2 * reach : 2 * reach + width].astype(np.float32)
    return cut


@lru_cache(maxsize=16)
def _spectrum(radius: float, rim: float, scale: float, height: int, width: int) -> npt.NDArray[np.complex128]:
    spectrum: npt.NDArray[np.complex128] = fft.rfft2(disk(radius, rim, scale), (height, width))
    return spectrum

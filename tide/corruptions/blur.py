"""Blurs: by a shared kernel, of frosted glass, by motion along a line and towards the scene."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage, sparse

from tide.corruptions.draws import Bytes, Draws, Floats, to_bytes
from tide.corruptions.tables import Row

# Blurs by a kernel that all images share.


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


# Frosted glass: pixels moved to near places between two slight blurs.


Offsets = npt.NDArray[np.int32]


def glass_blur(images: Bytes, row: Row, draws: Draws) -> Floats:
    """Blur by ``row[0]`` pixels, let each pixel take the value of one up to ``row[1]`` pixels away, blur again.

    The second step runs ``row[2]`` times over the image, from the last pixel to the first. As in the programs that
    made the published sets a pixel takes its neighbour's value and the neighbour keeps it: they mean to exchange the
    two, but the first write destroys what the second reads. The moves in both directions are uniform in
    -d, ..., d-1, where d is ``row[1]``, rounded, at least 1. The first d + 1 and the last d - 1 rows and columns stay.
    """
    _, channels, height, width = images.shape
    reach, rounds = max(1, round(row[1])), int(row[2])
    values = to_bytes(smooth(images, row[0])).reshape(len(images), channels, height * width)
    moves = (draws.uniform(rounds, 2, height, width) * (2 * reach)).astype(np.int32) - reach
    taken = np.empty_like(values)
    for target, image, both in zip(taken, values, moves, strict=True):
        np.take(image, origins(both, reach), axis=1, out=target, mode="clip")
    return smooth(taken.reshape(images.shape), row[0])


def origins(moves: Offsets, reach: int) -> Offsets:
    """Return from where each pixel has its value after all rounds.

    Args:
        moves: rows down and columns right from each pixel to its source, shape (rounds, 2, H, W); those of pixels
            that stay are not looked at.
        reach: the largest move.

    Returns:
        Flat places of pixels, shape (H*W,).
    """
    height, width = moves.shape[2:]
    own = np.arange(height * width, dtype=np.int32)
    inner = np.zeros((height, width), dtype=bool)
    inner[reach + 1 : height - reach + 1, reach + 1 : width - reach + 1] = True
    composed = own
    for down, right in moves:
        source = np.where(inner, own.reshape(height, width) + down * width + right, own.reshape(height, width)).ravel()
        # A source behind the pixel has had its turn and hands on what it took itself; one before it has not.
        # Instead of one pixel after another, all chains are followed at once, each step doubling their length.
        behind = (source > own) & inner.ravel()[source]
        ahead = np.where(behind, source, own)
        while True:
            further = ahead[ahead]
            if np.array_equal(further, ahead):
                break
            ahead = further
        composed = composed[source[ahead]]
    return composed


# Motion along a straight line while the shutter is open.


Places = npt.NDArray[np.int64]


def motion_blur(images: Bytes, row: Row, draws: Draws) -> Bytes:
    """Smear each image in a direction of its own, uniform within 45 degrees of the horizontal.

    ``row[0]`` and ``row[1]`` are the radius and the standard deviation of :func:`smear`.
    """
    blurred = np.empty_like(images)
    for target, image, generator in zip(blurred, images, draws, strict=True):
        target[:] = smear(image, row[0], row[1], 90 * generator.random() - 45)
    return blurred


def smear(image: Bytes, radius: float, sigma: float, angle: float) -> Bytes:
    """Return the weighted mean of copies of an image, each moved by one pixel more.

    This is what ``MotionBlurImage`` of ImageMagick 6 and 7 computes, with which the published sets were made: the
    copies trail to one side, 2 * ceil(radius) + 1 of them; the i-th is i pixels away, rounded to whole pixels, and
    has the weight of a Gaussian at i. The edge is continued by its own values.

    Args:
        image: shape (C, H, W).
        radius: in pixels.
        sigma: standard deviation of the Gaussian in pixels.
        angle: direction from which the copies are taken, in degrees clockwise from the right.

    Returns:
        The mean, rounded to the nearest pixel value, shape (C, H, W).
    """
    _, height, width = image.shape
    down, right, weights = path(radius, sigma, angle)
    top, left = max(0, -down.min()), max(0, -right.min())
    margins = ((0, 0), (top, max(0, down.max())), (left, max(0, right.max())))
    padded = np.pad(image.astype(np.float32), margins, mode="edge")
    total = np.zeros(image.shape, np.float32)
    part = np.empty_like(total)
    for row, column, weight in zip((down + top).tolist(), (right + left).tolist(), weights, strict=True):
        np.multiply(padded[:, row : row + height, column : column + width], weight, out=part)
        total += part
    total += np.float32(0.5 + 1 / 512)
    np.minimum(total, 255, out=total)
    return total.astype(np.uint8)


def path(radius: float, sigma: float, angle: float) -> tuple[Places, Places, Floats]:
    """Return rows down, columns right and weight of each copy of :func:`smear`, each of shape (copies,)."""
    steps = np.arange(2 * math.ceil(radius) + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    turn = math.radians(angle)
    down, right = (np.ceil(steps * part - 0.5).astype(int) for part in (math.sin(turn), math.cos(turn)))
    return down, right, (weights / weights.sum()).astype(np.float32)


# Motion towards the scene while the shutter is open, and the enlargement that it is made of.


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

"""Noise, colour and what storing and transmitting does: each pixel by itself, or by its place."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tide.corruptions.draws import Bytes, Draws, Floats
from tide.corruptions.tables import Row

if TYPE_CHECKING:
    from PIL import Image


# Noise of each value by itself: of light, of electronics, of transmission.


def gaussian_noise(images: Bytes, row: Row, draws: Draws) -> Floats:
    """Add normal noise of standard deviation ``row[0]``, white being 1: what a sensor does in little light."""
    noise = draws.normal(*images.shape[1:])
    noise *= np.float32(255 * row[0])
    noise += images
    return noise


def speckle_noise(images: Bytes, row: Row, draws: Draws) -> Floats:
    """Add to each value normal noise in proportion to it, of standard deviation ``row[0]`` times the value."""
    noise = draws.normal(*images.shape[1:])
    noise *= np.float32(row[0])
    noise += 1
    noise *= images
    return noise


def shot_noise(images: Bytes, row: Row, draws: Draws) -> Floats:
    """Count photons: each value is Poisson distributed about itself, white being ``row[0]`` photons."""
    rates = np.arange(256) / 255 * row[0]
    noisy = np.empty(images.shape, np.float32)
    for target, image, generator in zip(noisy, images, draws, strict=True):
        target[:] = generator.poisson(rates[image])
    noisy *= np.float32(255 / row[0])
    return noisy


def impulse_noise(images: Bytes, row: Row, draws: Draws) -> Bytes:
    """Replace the share ``row[0]`` of the values by black or white with equal chance, each channel by itself."""
    fate = draws.uniform(*images.shape[1:])
    noisy = np.where(fate < np.float32(row[0]), np.uint8(255), images)
    noisy[fate < np.float32(row[0] / 2)] = 0
    return noisy


# Changes of brightness, saturation and contrast, and the grey of a colour.


LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: shares of red, green and blue in a grey


def luma(levels: Floats) -> Floats:
    """Return the grey of images (B, 1 or 3, H, W) as (B, 1, H, W); the grey of a grey image is a copy of it."""
    if levels.shape[1] == 1:
        return levels.copy()
    red, green, blue = (levels[:, channel : channel + 1] * np.float32(share) for channel, share in enumerate(LUMA))
    grey: Floats = red + green + blue
    return grey


def brightness(images: Bytes, row: Row, draws: Draws) -> Floats:
    """Add ``row[0]``, white being 1, to the value of each pixel in the HSV model, at most up to white.

    The value is the largest of the channels; hue and saturation stay when all channels grow in the same proportion.
    Black has neither and becomes grey. On a grey image the same rule adds ``row[0]`` to each pixel.
    """
    levels = images.astype(np.float32)
    value = levels.max(1, keepdims=True)
    brighter = np.minimum(value + np.float32(255 * row[0]), 255)
    # The product comes before the quotient, so that the largest channel becomes the brighter value without error.
    levels *= brighter
    levels /= np.maximum(value, 1)
    brightened: Floats = np.where(value == 0, brighter, levels)
    return brightened


def saturate(images: Bytes, row: Row, draws: Draws) -> Floats | Bytes:
    """Multiply the saturation of each pixel in the HSV model by ``row[0]`` and add ``row[1]``, within 0 and 1.

    Hue and value stay. A pixel without colour counts as red of saturation 0, as in the published sets, so that a
    positive ``row[1]`` tints it. A grey image has no colour to change and is returned as it is: neither a factor nor
    a tint can show in it.
    """
    if images.shape[1] == 1:
        return images.copy()
    levels = images.astype(np.float32)
    value = levels.max(1, keepdims=True)
    span = value - levels.min(1, keepdims=True)
    saturation = span / np.maximum(value, 1)
    saturation *= np.float32(row[0])
    saturation += np.float32(row[1])
    np.clip(saturation, 0, 1, out=saturation)
    # How far each channel lies below the value, as a share of the span: this is what the hue says.
    below = (value - levels) / np.maximum(span, 1)
    red = np.asarray((0, 1, 1), np.float32).reshape(1, 3, 1, 1)
    below = np.where(span == 0, red, below)
    below *= saturation
    below *= value
    saturated: Floats = value - below
    return saturated


def contrast(images: Bytes, row: Row, draws: Draws) -> Floats:
    """Move each value towards the mean of its channel and image, keeping ``row[0]`` of the distance."""
    # A sum of integers is exact in whatever order it is taken.
    total = images.sum((2, 3), dtype=np.int64, keepdims=True)
    means = (total / (images.shape[2] * images.shape[3])).astype(np.float32)
    levels: Floats = images - means
    levels *= np.float32(row[0])
    levels += means
    return levels


# What storing and transmitting does: coarse pixels and JPEG.


def pixelate(images: Bytes, row: Row, draws: Draws) -> Bytes:
    """Shrink to the share ``row[0]`` of each side, rounded down, and enlarge again, both with Pillow's box filter."""
    from PIL import Image

    height, width = images.shape[2:]
    small = (max(1, int(width * row[0])), max(1, int(height * row[0])))

    def coarse(photo: Image.Image) -> Image.Image:
        return photo.resize(small, Image.Resampling.BOX).resize((width, height), Image.Resampling.BOX)

    return _each(images, coarse)


def jpeg_compression(images: Bytes, row: Row, draws: Draws) -> Bytes:
    """Write as JPEG of quality ``row[0]`` with Pillow, and read again. Grey images stay grey on the way.

    The bytes depend on the JPEG library that Pillow was built with.
    """
    from PIL import Image

    quality = int(row[0])

    def compressed(photo: Image.Image) -> Image.Image:
        stored = io.BytesIO()
        photo.save(stored, "JPEG", quality=quality)
        return Image.open(stored)

    return _each(images, compressed)


def _each(images: Bytes, change: Callable[[Image.Image], Image.Image]) -> Bytes:
    """Send the images through Pillow one by one."""
    from PIL import Image

    grey = images.shape[1] == 1
    photos = images[:, 0] if grey else np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    changed = np.stack([np.asarray(change(Image.fromarray(photo))) for photo in photos])
    return changed[:, None] if grey else changed.transpose(0, 3, 1, 2)


# Rubber: the image drawn out of shape as a whole and then place by place.


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

"""Changes of brightness, saturation and contrast, and the grey of a colour."""

from __future__ import annotations

import numpy as np

from tide.corruptions.draws import Bytes, Draws, Floats
from tide.corruptions.tables import Row

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

"""Snow and fog."""

from __future__ import annotations

import numpy as np

from tide.corruptions.colour import luma
from tide.corruptions.draws import Bytes, Draws, Floats
from tide.corruptions.motion import smear
from tide.corruptions.tables import Row
from tide.corruptions.zoom import enlarge, lines

_EDGE = 1 / 512


def snow(images: Bytes, row: Row, draws: Draws) -> Floats:
    """Whiten the image and let flakes fall before it.

    A layer of normal noise of mean ``row[0]`` and standard deviation ``row[1]`` is enlarged ``row[2]`` times; what lies
    under ``row[3]`` is no flake. The flakes are smeared with radius ``row[4]`` and standard deviation ``row[5]`` in a
    direction uniform within 45 degrees of the vertical, and added twice, once turned by 180 degrees. The image keeps
    the share ``row[6]``; the rest goes to the larger of itself and 1.5 times its grey plus one half of white.
    """
    height, width = images.shape[2:]
    size = max(1.0, row[2])
    # Of the published layer only the middle is seen, so no more of it is drawn.
    kept = (lines(height, size)[1], lines(width, size)[1])
    middle, angles = np.empty((len(images), *kept), np.float32), []
    for target, generator in zip(middle, draws, strict=True):
        generator.standard_normal(dtype=np.float32, out=target)
        angles.append(90 * generator.random() - 135)
    middle *= np.float32(row[1])
    middle += np.float32(row[0])
    layer = enlarge(middle, height, width, size)
    layer[layer < np.float32(row[3])] = 0
    np.minimum(layer, 1, out=layer)
    flakes = (layer * 255 + np.float32(_EDGE)).astype(np.uint8)
    fallen = np.stack([smear(one[None], row[4], row[5], angle) for one, angle in zip(flakes, angles, strict=True)])
    levels = images.astype(np.float32)
    white = luma(levels)
    white *= 1.5
    white += 127.5
    pale = np.maximum(levels, white)
    pale *= np.float32(1 - row[6])
    levels *= np.float32(row[6])
    levels += pale
    levels += fallen
    levels += fallen[:, :, ::-1, ::-1]
    return levels


def fog(images: Bytes, row: Row, draws: Draws) -> Floats:
    """Add ``row[0]`` times a :func:`relief` of decay ``row[1]``, then scale so that the brightest value can stay."""
    height, width = images.shape[2:]
    side = 1 << (max(height, width) - 1).bit_length()
    levels = images.astype(np.float32)
    brightest = levels.max((1, 2, 3), keepdims=True)
    thickness = np.float32(255 * row[0])
    levels += relief(draws.uniform(side * side), side, row[1])[:, None, :height, :width] * thickness
    levels *= brightest / (brightest + thickness)
    return levels


def relief(uniform: Floats, side: int, decay: float) -> Floats:
    """Return heights between 0 and 1 whose roughness falls with the scale: the diamond-square algorithm on a torus.

    Fournier, Fussell and Carpenter, "Computer rendering of stochastic models" (1982), in the form of the published
    sets: the middle of each square is the mean of its corners, and then the middle of each edge that of its four
    neighbours, plus noise uniform within the square of an amplitude that starts at 100 and falls by ``decay`` with
    each octave.

    Args:
        uniform: numbers in [0, 1), shape (B, side * side), of which all but the last one are used.
        side: a power of two.
        decay: greater than one.

    Returns:
        Shape (B, side, side); the lowest place is 0, the highest 1.
    """
    heights = np.zeros((len(uniform), side, side), np.float32)
    step, amplitude, used = side, 100.0, 0
    while step >= 2:
        half = step // 2
        corners, middles = heights[:, ::step, ::step], heights[:, half::step, half::step]
        count = corners[0].size
        noise = []
        for _ in range(3):
            part = uniform[:, used : used + count].reshape(corners.shape)
            noise.append((part * 2 - 1) * np.float32(amplitude * amplitude))
            used += count
        across = corners + np.roll(corners, -1, 1)
        middles[:] = (across + np.roll(across, -1, 2)) * np.float32(0.25) + noise[0]
        heights[:, ::step, half::step] = (
            middles + np.roll(middles, 1, 1) + (corners + np.roll(corners, -1, 2))
        ) * np.float32(0.25) + noise[1]
        heights[:, half::step, ::step] = (
            middles + np.roll(middles, 1, 2) + (corners + np.roll(corners, -1, 1))
        ) * np.float32(0.25) + noise[2]
        step, amplitude = half, amplitude / decay
    heights -= heights.min((1, 2), keepdims=True)
    # All heights are equal only where there is but one of them.
    heights /= np.maximum(heights.max((1, 2), keepdims=True), np.float32(1e-6))
    return heights

"""Snow, fog, frost, and drops of water or mud on the lens."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tide.corruptions.blur import enlarge, lines, smear, smooth
from tide.corruptions.draws import Bytes, Draws, Floats
from tide.corruptions.noise import luma
from tide.corruptions.tables import Row

# Snow and fog.


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


# Sheets of frost, drawn: the published sets take them from five photographs that we cannot hand on.
#
# A sheet is made of feathers of ice on a ground of cloudy noise. What the sheets have of the photographs is the mean
# and the standard deviation of each colour (the facts in :data:`SHEETS`), so that frost of a severity brightens and
# tints as much as the published one; the shapes are our own. Scores under frost are therefore near, not equal, to
# those on the published sets.


HEIGHT, WIDTH = 448, 672  # pixels, about those of the photographs
_OCTAVES = 7


@dataclass(frozen=True)
class Sheet:
    """How a sheet of frost is drawn.

    Attributes:
        mean: of red, green and blue, 0..255.
        deviation: standard deviation of red, green and blue.
        feathers: how many there are.
        length: of the longest feather in pixels.
        spread: angle between a feather's spine and its barbs in degrees.
        ice: share of the feathers in the variance.
        grain: share of the finest grain in the variance; the rest is cloudy noise.
    """

    mean: tuple[int, int, int]
    deviation: tuple[int, int, int]
    feathers: int
    length: int
    spread: int
    ice: float
    grain: float


# Means and deviations: measured on frost1.png to frost5.jpg of github.com/hendrycks/robustness, of which the second
# and the third are one photograph; the published programs choose among these five.
SHEETS: Final = (
    Sheet((78, 149, 166), (27, 16, 15), 220, 160, 20, 0.35, 0.15),
    Sheet((201, 205, 214), (21, 22, 23), 1700, 120, 9, 0.55, 0.15),
    Sheet((201, 205, 214), (21, 22, 23), 2200, 85, 12, 0.55, 0.15),
    Sheet((138, 153, 165), (28, 28, 30), 2600, 30, 50, 0.55, 0.25),
    Sheet((112, 123, 135), (44, 43, 42), 550, 80, 55, 0.7, 0.08),
)


@lru_cache(maxsize=len(SHEETS))
def frost_sheet(number: int) -> Bytes:
    """Draw one of :data:`SHEETS`; the same number always gives the same sheet.

    Returns:
        Pixel values, shape (HEIGHT, WIDTH, 3).
    """
    sheet = SHEETS[number]
    draws = Random(number)
    heights = math.sqrt(sheet.ice) * _standard(_feathers(sheet, draws))
    bits = np.random.Generator(np.random.PCG64(int(draws.random() * 2**53)))
    heights += math.sqrt(1 - sheet.ice - sheet.grain) * _standard(_clouds(bits))
    grain = ndimage.gaussian_filter(bits.standard_normal((HEIGHT, WIDTH), dtype=np.float32), 0.7)
    heights += math.sqrt(sheet.grain) * _standard(grain)
    heights = np.clip(_standard(heights), -2.5, 2.5)[:, :, None]
    levels = np.asarray(sheet.mean, np.float32) + np.asarray(sheet.deviation, np.float32) * heights
    drawn: Bytes = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return drawn


def _feathers(sheet: Sheet, draws: Random) -> Floats:
    """Spines with barbs on both sides that shorten towards the tip, each feather of its own brightness."""
    from PIL import Image, ImageDraw

    canvas = Image.new("L", (WIDTH, HEIGHT), 90)
    pen = ImageDraw.Draw(canvas)
    for _ in range(sheet.feathers):
        x, y, turn = WIDTH * draws.random(), HEIGHT * draws.random(), 2 * math.pi * draws.random()
        length = sheet.length * (0.25 + 0.75 * draws.random())
        light = 60 + int(150 * draws.random())
        bend = (draws.random() - 0.5) / length
        place = 0.0
        while place < length:
            step = 2 + 2 * draws.random()
            next_x, next_y = x + step * math.cos(turn), y + step * math.sin(turn)
            pen.line((x, y, next_x, next_y), fill=min(255, light + 40), width=1)
            barb = 0.4 * (length - place) * (0.5 + 0.5 * draws.random())
            for side in (-1, 1):
                slant = turn + side * math.radians(sheet.spread)
                tone = max(0, light + int(70 * (draws.random() - 0.5)) + 25 * side)
                pen.line((x, y, x + barb * math.cos(slant), y + barb * math.sin(slant)), fill=tone, width=1)
            x, y, turn, place = next_x, next_y, turn + bend * step, place + step
    softened: Floats = ndimage.gaussian_filter(np.asarray(canvas, np.float32), 0.5)
    return softened


def _clouds(bits: np.random.Generator) -> Floats:
    """Noise of many scales, each octave half as strong as the next larger one."""
    clouds = np.zeros((HEIGHT, WIDTH), np.float32)
    for octave in range(_OCTAVES):
        cells = 2**octave
        coarse = bits.standard_normal((2 * cells + 3, 3 * cells + 3), dtype=np.float32)
        fine = ndimage.zoom(coarse, (HEIGHT / (2 * cells), WIDTH / (3 * cells)), order=1)
        clouds += fine[:HEIGHT, :WIDTH] * np.float32(0.5**octave)
    return clouds


def _standard(values: Floats) -> Floats:
    """Shift and scale to mean 0 and standard deviation 1."""
    standard: Floats = (values - values.mean()) / values.std()
    return standard


# Frost between the camera and the scene.


def frost(images: Bytes, row: Row, draws: Draws) -> Floats:
    """Add ``row[1]`` times a piece of a sheet of frost to ``row[0]`` times the image.

    One of the sheets of :mod:`tide.corruptions.weather`, scaled by ``row[2]``, and a place on it are chosen with
    equal chance for each image. On a grey image the frost is grey.
    """
    channels, height, width = images.shape[1:]
    pieces = np.empty(images.shape, np.float32)
    for piece, generator in zip(pieces, draws, strict=True):
        which, top, left = generator.random(3).tolist()
        sheet = _scaled(int(which * len(SHEETS)), row[2], channels, height, width)
        down = int(top * (sheet.shape[1] - height + 1))
        right = int(left * (sheet.shape[2] - width + 1))
        piece[:] = sheet[:, down : down + height, right : right + width]
    pieces *= np.float32(row[1])
    pieces += images * np.float32(row[0])
    return pieces


@lru_cache(maxsize=32)
def _scaled(number: int, scale: float, channels: int, height: int, width: int) -> Bytes:
    """A sheet (C, H, W), scaled linearly without antialiasing, as the published ones are, and never too small."""
    sheet = np.moveaxis(frost_sheet(number), -1, 0)
    scale = max(scale, height / sheet.shape[1], width / sheet.shape[2])
    levels = sheet.astype(np.float32)
    for axis in (1, 2):
        length = levels.shape[axis]
        exact = np.clip((np.arange(math.ceil(length * scale)) + 0.5) / scale - 0.5, 0, length - 1)
        first = np.floor(exact).astype(np.int64)
        second = np.minimum(first + 1, length - 1)
        beyond = (exact - first).astype(np.float32).reshape((-1, 1) if axis == 1 else (-1,))
        levels = levels.take(first, axis) * (1 - beyond) + levels.take(second, axis) * beyond
    if channels == 1:
        levels = luma(levels[None])[0]
    scaled: Bytes = np.rint(levels).astype(np.uint8)
    return scaled


# Edges of a grey image.


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


# Drops of water or splashes of mud on the lens.


WATER = (175, 238, 238)  # pale turquoise
MUD = (63, 42, 20)
_FAR = 20  # pixels from a rim beyond which all of a drop looks alike
_RELIEF = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])  # light from the upper left


def spatter(images: Bytes, row: Row, draws: Draws) -> Floats:
    """Let drops fall where smooth noise exceeds ``row[3]``.

    The noise is normal of mean ``row[0]`` and standard deviation ``row[1]``, smoothed by ``row[2]`` pixels. With
    ``row[5]`` = 0 the drops are water of strength ``row[4]``, shaded by :func:`shade`, which lightens the image; else
    mud, whose rim is softened by ``row[5]`` pixels, which hides it. On a grey image both have the grey of their colour.
    """
    liquid = draws.normal(*images.shape[2:])
    liquid *= np.float32(row[1])
    liquid += np.float32(row[0])
    liquid = smooth(liquid, row[2])
    liquid[liquid < np.float32(row[3])] = 0
    levels = images.astype(np.float32)
    if row[5] == 0:
        drops = np.minimum(liquid * 255 + np.float32(1 / 512), 255).astype(np.uint8)
        film = np.stack([shade(one) for one in drops])[:, None]
        levels += film * np.float32(row[4]) * _colour(WATER, images.shape[1])
        return levels
    cover = smooth((liquid > 0).astype(np.float32), row[5])[:, None]
    cover[cover < np.float32(0.8)] = 0
    levels *= 1 - cover
    levels += cover * _colour(MUD, images.shape[1])
    return levels


def shade(drops: Bytes) -> Floats:
    """Return how much light drops (H, W) add, 0 to 1: their height times a relief that rises from their rims.

    The rims are the Canny edges at 50 and 150. The distance from them, cut off at 20 pixels, is averaged over 3 x 3,
    spread evenly over 0..255, lit from one side and averaged again, in whole numbers where the published sets have
    them. The distance is OpenCV's approximation for a 5 x 5 mask, taken to the nearest rim in the exact sense.
    """
    rims = canny(drops, 50, 150)
    distance = np.full(drops.shape, _FAR, np.float64)
    if rims.any():
        nearest = ndimage.distance_transform_edt(~rims, return_distances=False, return_indices=True)
        distance = np.minimum(_chamfer(*(nearest - np.indices(drops.shape))), _FAR)
    lit = spread(_mean(distance).astype(np.uint8))
    lit = np.clip(ndimage.correlate(lit.astype(np.int64), _RELIEF, mode="mirror"), 0, 255)
    relief = np.floor(_mean(lit.astype(np.float64)) + 0.5)
    film: Floats = (drops * relief).astype(np.float32)
    film /= max(film.max(), np.float32(1))
    return film


def spread(values: Bytes) -> Bytes:
    """Return values whose cumulative shares are even over 0..255: equalisation of the histogram, as in OpenCV."""
    counts = np.bincount(values.ravel(), minlength=256)
    lowest = int(np.flatnonzero(counts)[0])
    rest = values.size - int(counts[lowest])
    if rest == 0:
        return values
    counts[lowest] = 0
    levels: Bytes = np.rint(counts.cumsum() * (255 / rest)).astype(np.uint8)
    return levels[values]


def _mean(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    # Added up line by line, whole numbers stay whole until the division.
    ones = np.ones(3)
    total = ndimage.correlate1d(ndimage.correlate1d(values, ones, 0, mode="mirror"), ones, 1, mode="mirror")
    mean: npt.NDArray[np.float64] = total / 9
    return mean


def _chamfer(down: npt.NDArray[np.int64], right: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Length of the shortest way of straight (1), diagonal (1.4) and knight's moves (2.1969)."""
    down, right = np.abs(down), np.abs(right)
    long, short = np.maximum(down, right), np.minimum(down, right)
    ways: npt.NDArray[np.float64] = np.where(2 * short <= long, long + 0.1969 * short, 0.7969 * long + 0.6031 * short)
    return ways


def _colour(colour: tuple[int, int, int], channels: int) -> Floats:
    levels = np.asarray(colour, np.float32).reshape(1, 3, 1, 1)
    return levels if channels == 3 else luma(levels)

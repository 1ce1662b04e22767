"""Sheets of frost, drawn: the published sets take them from five photographs that we cannot hand on.

A sheet is made of feathers of ice on a ground of cloudy noise. What the sheets have of the photographs is the mean
and the standard deviation of each colour (the facts in :data:`SHEETS`), so that frost of a severity brightens and
tints as much as the published one; the shapes are our own. Scores under frost are therefore near, not equal, to those
on the published sets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Final

import numpy as np
from scipy import ndimage

from tide.corruptions.draws import Bytes, Floats

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

"""One image, thought through, as an animation: a frame for every tick."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from tide.models.thinker import Thinker
from tide.plots.thought import Thought
from tide.types import ThoughtOutput

Array = npt.NDArray[Any]
Colour = tuple[int, int, int]

SIZE = (880, 400)  # pixels of a frame
FINE = 2  # drawn so many times as large, then averaged
PAPER, INK, SOFT, TRACK = (250, 249, 246), (29, 33, 41), (108, 115, 128), (234, 230, 221)
ORANGE, BLUE, MIXED, GLOW = (213, 101, 10), (31, 111, 184), (150, 140, 160), (255, 154, 60)
CHORDS = 120  # strongest pairs drawn
CLASSES = 10  # likeliest classes that get a bar


@dataclass(frozen=True)
class Moving:
    """A thought with what the still picture shows of its last tick only.

    ``synchrony`` (T, P) of ``pairs`` (2, P), both None for a model that has none; ``rates`` (T, D), excitatory first,
    or what the model has in their place.
    """

    thought: Thought
    rates: Array
    synchrony: Array | None
    pairs: Array | None

    @classmethod
    def from_output(cls, image: Tensor, out: ThoughtOutput, model: Thinker, *, truth: str | None = None) -> Moving:
        """Take the first sample of an output, as :meth:`Thought.from_output` does."""
        thought, pairs = Thought.from_output(image, out, model, truth=truth), model.cell.pairs()
        activity = list(thought.activity.values())
        return cls(
            thought=thought,
            rates=np.concatenate(activity if thought.n_e else activity[-1:]).T,
            synchrony=out.trace["synchrony"][0].cpu().numpy() if pairs is not None else None,
            pairs=pairs.cpu().numpy() if pairs is not None else None,
        )


def frames(moving: Moving) -> list[Image.Image]:
    """Return one picture (880 x 400, RGB) for each tick."""
    return [_frame(moving, tick) for tick in range(len(moving.thought.certainty))]


def _frame(moving: Moving, tick: int) -> Image.Image:
    width, height = (FINE * side for side in SIZE)
    picture = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(picture, "RGBA")
    _image(picture, pen, moving.thought, tick, (20, 20, 290))
    _ring(pen, moving, tick, (335, 20, 270))
    _answer(pen, moving.thought, tick, (640, 20, 220))
    _certainty(pen, moving.thought, tick, (20, 350, 840, 34))
    return picture.resize(SIZE, Image.Resampling.LANCZOS)


def _image(
    picture: Image.Image, pen: ImageDraw.ImageDraw, thought: Thought, tick: int, place: tuple[int, int, int]
) -> None:
    left, top, side = (FINE * value for value in place)
    pixels = np.round(255 * np.clip(thought.image, 0, 1)).astype(np.uint8)
    pixels = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    shown = Image.fromarray(np.ascontiguousarray(pixels)).resize((side, side), Image.Resampling.NEAREST)
    if thought.attention is None:
        picture.paste(shown, (left, top))
        return
    even, highest = 1 / thought.attention[0].size, thought.attention.max()
    share = np.sqrt(np.clip((thought.attention[tick] - even) / max(highest - even, 1e-9), 0, 1))
    mask = Image.fromarray(np.round(216 * share).astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    shown.paste(Image.new("RGB", (side, side), GLOW), (0, 0), mask)
    picture.paste(shown, (left, top))
    path = [_focus(weights) for weights in thought.attention[: tick + 1]]
    points = [(left + x * side, top + y * side) for x, y in path]
    if len(points) > 1:
        pen.line(points, fill=(255, 255, 255, 220), width=2 * FINE, joint="curve")
    _dot(pen, points[-1], 6 * FINE, INK)
    _dot(pen, points[-1], 4.5 * FINE, (255, 255, 255))


def _focus(weights: Array) -> tuple[float, float]:
    """Return the centre of mass of the attention (rows, columns), in shares of the image's side."""
    rows, columns = weights.shape
    total = weights.sum()
    x = (weights.sum(0) * (np.arange(columns) + 0.5)).sum() / total / columns
    y = (weights.sum(1) * (np.arange(rows) + 0.5)).sum() / total / rows
    return float(x), float(y)


def _ring(pen: ImageDraw.ImageDraw, moving: Moving, tick: int, place: tuple[int, int, int]) -> None:
    left, top, side = (FINE * value for value in place)
    centre, radius = (left + side / 2, top + side / 2), side / 2 - 8 * FINE
    neurons, n_e = moving.rates.shape[1], moving.thought.n_e
    angles = 2 * math.pi * np.arange(neurons) / neurons - math.pi / 2
    at = np.stack((centre[0] + radius * np.cos(angles), centre[1] + radius * np.sin(angles)), 1)

    def kind(neuron: int) -> Colour:
        return BLUE if n_e and neuron >= n_e else ORANGE

    if moving.synchrony is not None and moving.pairs is not None:
        highest = max(float(np.abs(moving.synchrony).max()), 1e-9)
        now = np.abs(moving.synchrony[tick])
        for pair in np.argsort(now)[-CHORDS:]:
            i, j = (int(n) for n in moving.pairs[:, pair])
            strength = math.sqrt(now[pair] / highest)
            colour = kind(i) if kind(i) == kind(j) else MIXED
            curve = [_bend(at[i], centre, at[j], s / 14) for s in range(15)]
            pen.line(
                curve, fill=(*colour, round(25 + 190 * strength)), width=max(1, round((0.6 + 1.6 * strength) * FINE))
            )
    loudest = max(float(np.abs(moving.rates).max()), 1e-9)
    for neuron in range(neurons):
        share = math.sqrt(abs(float(moving.rates[tick, neuron])) / loudest)
        _dot(pen, tuple(at[neuron]), (1 + 5 * share) * FINE, (*kind(neuron), round(70 + 185 * share)))


def _bend(start: Array, through: tuple[float, float], end: Array, s: float) -> tuple[float, float]:
    """Return a point of the quadratic curve from ``start`` to ``end``, bent towards ``through``."""
    x, y = ((1 - s) ** 2 * start + 2 * s * (1 - s) * np.asarray(through) + s**2 * end).tolist()
    return x, y


def _answer(pen: ImageDraw.ImageDraw, thought: Thought, tick: int, place: tuple[int, int, int]) -> None:
    left, top, width = place
    p = thought.probabilities[:, tick]
    answer = int(p.argmax())
    long = len(thought.labels[answer]) > 3
    _text(pen, (left, top + (14 if long else 0)), thought.labels[answer], 30 if long else 52, INK)
    _text(pen, (left, top + 64), f"{100 * thought.certainty[tick]:.0f} % certain", 14, SOFT)
    shown = np.sort(np.argsort(-thought.probabilities.max(1))[:CLASSES])
    names = max(len(thought.labels[c]) for c in shown)
    start = left + min(90, 8 + 8 * names)
    for row, c in enumerate(shown):
        y = top + 96 + row * 17.5
        _text(pen, (left, y - 2), thought.labels[c], 12, INK if c == answer else SOFT)
        _bar(pen, (start, y + 2, left + width, y + 11), 1.0, TRACK)
        _bar(pen, (start, y + 2, left + width, y + 11), float(p[c]), ORANGE if c == answer else SOFT)


def _certainty(pen: ImageDraw.ImageDraw, thought: Thought, tick: int, place: tuple[int, int, int, int]) -> None:
    left, top, width, height = place
    ticks = len(thought.certainty)
    pen.line(
        [(FINE * left, FINE * (top + height)), (FINE * (left + width), FINE * (top + height))], fill=TRACK, width=FINE
    )
    across = width / max(ticks - 1, 1)
    points = [
        (FINE * (left + t * across), FINE * (top + height * (1 - float(value))))
        for t, value in enumerate(thought.certainty[: tick + 1])
    ]
    if len(points) > 1:
        pen.line(points, fill=INK, width=2 * FINE, joint="curve")
    _dot(pen, points[-1], 4 * FINE, INK)
    _text(pen, (left, top - 25), f"certainty, tick {tick + 1} of {ticks}", 12, SOFT)


def _bar(pen: ImageDraw.ImageDraw, box: tuple[float, float, float, float], share: float, colour: Colour) -> None:
    left, top, right, bottom = (FINE * value for value in box)
    if share * (right - left) >= 1:
        pen.rounded_rectangle((left, top, left + share * (right - left), bottom), radius=4 * FINE, fill=colour)


def _dot(pen: ImageDraw.ImageDraw, at: tuple[float, float], radius: float, colour: tuple[int, ...]) -> None:
    x, y = at
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _text(pen: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: float, colour: Colour) -> None:
    pen.text((FINE * at[0], FINE * at[1]), text, fill=colour, font=ImageFont.load_default(FINE * size))

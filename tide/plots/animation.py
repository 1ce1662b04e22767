"""One input, thought through, as an animation: a frame for every tick, as GIF, WebP or MP4."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from tide.data.drawn.mazes import NAMES, walk
from tide.errors import InputError
from tide.files import writing
from tide.models.heads import read_answers
from tide.models.thinker import Thinker
from tide.plots.axes import attention_maps, grid
from tide.types import ThoughtOutput

# What frames of an animation are drawn with: colours, and shapes in pixels of the finished frame.


Colour = tuple[int, ...]
Point = tuple[float, float]

FINE = 2  # drawn so many times as large, then averaged
PAPER, INK, SOFT, TRACK = (250, 249, 246), (29, 33, 41), (108, 115, 128), (234, 230, 221)
ORANGE, BLUE, MIXED, GLOW = (213, 101, 10), (31, 111, 184), (150, 140, 160), (255, 154, 60)


class Pen:
    """Draws on a picture that is :data:`FINE` times as large as the frame it becomes."""

    def __init__(self, draw: ImageDraw.ImageDraw) -> None:
        self._draw = draw

    def line(self, points: list[Point], colour: Colour, width: float) -> None:
        """Draw a line through points; of fewer than two, nothing."""
        if len(points) > 1:
            fine = [(FINE * x, FINE * y) for x, y in points]
            self._draw.line(fine, fill=colour, width=max(1, round(FINE * width)), joint="curve")

    def bar(self, box: tuple[float, float, float, float], share: float, colour: Colour) -> None:
        """Fill a share of a box (left, top, right, bottom) from the left."""
        left, top, right, bottom = (FINE * value for value in box)
        if share * (right - left) >= 1:
            self._draw.rounded_rectangle((left, top, left + share * (right - left), bottom), 4 * FINE, fill=colour)

    def tile(self, box: tuple[float, float, float, float], fill: Colour | None, outline: Colour) -> None:
        """Draw a box with a rim."""
        self._draw.rounded_rectangle([FINE * value for value in box], 3 * FINE, fill=fill, outline=outline, width=FINE)

    def dot(self, at: Point, radius: float, colour: Colour) -> None:
        """Draw a disk."""
        (x, y), radius = (FINE * at[0], FINE * at[1]), FINE * radius
        self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

    def text(self, at: Point, text: str, size: float, colour: Colour, *, anchor: str = "la") -> None:
        """Write text whose ``anchor`` (Pillow's; left and top as it is) lies at a point."""
        font = ImageFont.load_default(FINE * size)
        self._draw.text((FINE * at[0], FINE * at[1]), text, fill=colour, font=font, anchor=anchor)


# Pictures one after another as a file: GIF and WebP by Pillow, MP4 where ffmpeg is installed.


KINDS = (".gif", ".webp", ".mp4")
TICK, REST = 140, 1600  # milliseconds that a tick is shown, and the last one
COLOURS = 192  # of a GIF: few enough to be small, enough for soft edges


def write_animation(path: Path, frames: Sequence[Image.Image]) -> None:
    """Write frames of one size as ``path`` ends: .gif, .webp or .mp4.

    Raises :class:`InputError` for another ending, where ffmpeg is missing or fails, and for a file that cannot be
    written.
    """
    check_kind(path)
    durations = [TICK] * (len(frames) - 1) + [REST]
    with writing(path, "give another --animate"):
        if path.suffix == ".mp4":
            _mp4(path, frames)
        elif path.suffix == ".gif":
            # One palette for all: a palette a frame would make colours flicker.
            palette = _side_by_side(frames[0], frames[len(frames) // 2], frames[-1]).quantize(COLOURS)
            reduced = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
            reduced[0].save(path, save_all=True, append_images=reduced[1:], duration=durations, loop=0, optimize=True)
        else:
            rest = list(frames[1:])
            frames[0].save(path, save_all=True, append_images=rest, duration=durations, loop=0, quality=80, method=4)


def check_kind(path: Path) -> None:
    """Raise :class:`InputError` unless ``path`` ends as one of :data:`KINDS`, and for MP4 ffmpeg is there."""
    if path.suffix not in KINDS:
        raise InputError(f"--animate must end in one of {', '.join(KINDS)}, got {path}; write --animate out.gif")
    if path.suffix == ".mp4" and shutil.which("ffmpeg") is None:
        raise InputError("ffmpeg must be installed to write .mp4; install it, or write a .gif or .webp")


def _side_by_side(*frames: Image.Image) -> Image.Image:
    width, height = frames[0].size
    whole = Image.new("RGB", (width * len(frames), height))
    for number, frame in enumerate(frames):
        whole.paste(frame, (number * width, 0))
    return whole


def _mp4(path: Path, frames: Sequence[Image.Image]) -> None:
    width, height = frames[0].size
    still = round(REST / TICK)
    command = ["ffmpeg", "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
    command += ["-r", f"{1000 / TICK:.3f}", "-i", "-", "-pix_fmt", "yuv420p", "-movflags", "+faststart", str(path)]
    content = b"".join(frame.tobytes() for frame in (*frames, *[frames[-1]] * still))
    done = subprocess.run(command, input=content, capture_output=True, check=False)
    if done.returncode:
        reason = " ".join(done.stderr.decode(errors="replace").split())[:200]
        raise InputError(f"ffmpeg cannot write {path} ({reason}); write a .gif or .webp")


# One input, thought through, as an animation: a frame for every tick.


Array = npt.NDArray[Any]

SIZE = (880, 400)  # pixels of a frame
CHORDS = 120  # strongest pairs drawn
CLASSES = 10  # likeliest classes that get a bar


@dataclass(frozen=True)
class Moving:
    """A thought as arrays.

    ``image`` (H, W, 1 or 3) in [0, 1], a sequence as a tile for every symbol; ``attention`` (T, rows, columns) or None;
    ``rates`` (T, D), excitatory first, or what the model has in their place; ``n_e``, 0 without populations;
    ``synchrony`` (T, P) of ``pairs`` (2, P), both None for a model that has none; ``certainty`` (T,);
    ``probabilities`` (C, P, T) at each position of the answer; ``right`` (P,) the right classes, None where unknown;
    ``routes`` (T, R + 1, 2), row and column of the answered way through a maze, None of anything else.
    """

    image: Array
    attention: Array | None
    rates: Array
    n_e: int
    synchrony: Array | None
    pairs: Array | None
    certainty: Array
    probabilities: Array
    labels: tuple[str, ...]
    right: Array | None
    routes: Array | None

    @classmethod
    def from_output(cls, sample: Tensor, out: ThoughtOutput, model: Thinker, right: Tensor | None = None) -> Self:
        """Take the first sample of an output of ``model`` recorded with :func:`tide.plots.thought.record`.

        ``sample``: that input, an image (channels, H, W) or a sequence (L,); ``right`` (*S), the right classes.
        """
        output, blocks, pairs = model.config.output, model.cell.blocks(), model.cell.pairs()
        activity = [out.trace[name][0].cpu().numpy() for name in model.cell.activity.values()]
        logits, certainty = (part[:1].cpu() for part in out.answers())
        answer = read_answers(logits, certainty, output)
        probabilities = logits[0].double().softmax(0)
        routes = None
        if output.positions and sample.dim() == 3 and output.labels == NAMES:
            maze = (255 * sample.cpu()).round().byte()[None]
            ways = answer.classes[0].flatten(0, -2).T
            routes = walk(maze.expand(len(ways), -1, -1, -1), ways).places.numpy()
        return cls(
            image=sample.cpu().double().numpy().transpose(1, 2, 0) if sample.dim() == 3 else _tiles(sample.cpu()),
            attention=attention_maps(out.trace["attention"][0]) if "attention" in out.trace else None,
            rates=np.concatenate(activity if blocks is not None else activity[-1:], 1),
            n_e=blocks.ee.shape[0] if blocks is not None else 0,
            synchrony=out.trace["synchrony"][0].cpu().numpy() if pairs is not None else None,
            pairs=pairs.cpu().numpy() if pairs is not None else None,
            certainty=answer.certainty[0].numpy(),
            probabilities=probabilities.reshape(len(probabilities), -1, probabilities.shape[-1]).numpy(),
            labels=tuple(output.label(c) for c in range(output.classes)),
            right=right.flatten().numpy() if right is not None else None,
            routes=routes,
        )


def _tiles(sequence: Tensor) -> Array:
    """Return a sequence as an image of one pixel for each symbol, from the least, dark, to the greatest."""
    low, high = sequence.min(), sequence.max()
    shade = 0.15 + 0.75 * (sequence - low) / torch.clamp(high - low, min=1e-9)
    tiles: Array = shade.double().reshape(*grid(len(sequence)), 1).numpy()
    return tiles


def frames(moving: Moving) -> list[Image.Image]:
    """Return one picture (880 x 400, RGB) for each tick."""
    return [_frame(moving, tick) for tick in range(len(moving.certainty))]


def _frame(moving: Moving, tick: int) -> Image.Image:
    picture = Image.new("RGB", (FINE * SIZE[0], FINE * SIZE[1]), PAPER)
    pen = Pen(ImageDraw.Draw(picture, "RGBA"))
    _image(picture, pen, moving, tick, (20, 20, 290))
    _ring(pen, moving, tick, (335, 20, 270))
    answer = _classes if moving.probabilities.shape[1] == 1 else _positions
    answer(pen, moving, tick, (640, 20, 220))
    _certainty(pen, moving.certainty, tick, (20, 350, 840, 34))
    return picture.resize(SIZE, Image.Resampling.LANCZOS)


def _image(picture: Image.Image, pen: Pen, moving: Moving, tick: int, place: tuple[int, int, int]) -> None:
    left, top, side = place
    size = (FINE * side, FINE * side)
    pixels = np.round(255 * np.clip(moving.image, 0, 1)).astype(np.uint8)
    rows, columns = pixels.shape[:2]
    shown = Image.fromarray(np.broadcast_to(pixels, (rows, columns, 3)).copy()).resize(size, Image.Resampling.NEAREST)
    if moving.attention is not None:
        even, highest = 1 / moving.attention[0].size, moving.attention.max()
        share = np.sqrt(np.clip((moving.attention[tick] - even) / max(highest - even, 1e-9), 0, 1))
        mask = Image.fromarray(np.round(216 * share).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
        shown.paste(Image.new("RGB", size, GLOW), (0, 0), mask)
    picture.paste(shown, (FINE * left, FINE * top))
    if moving.routes is not None:
        way = (moving.routes[tick] + 0.5) / (rows, columns)
        points = [(left + x * side, top + y * side) for y, x in way]
        pen.line(points, BLUE, 5)
        pen.dot(points[-1], 7, BLUE)
        return
    if moving.attention is not None:
        path = [_focus(weights) for weights in moving.attention[: tick + 1]]
        points = [(left + x * side, top + y * side) for x, y in path]
        pen.line(points, (255, 255, 255, 220), 2)
        pen.dot(points[-1], 6, INK)
        pen.dot(points[-1], 4.5, (255, 255, 255))


def _focus(weights: Array) -> Point:
    """Return the centre of mass of the attention (rows, columns), in shares of the image's side."""
    rows, columns = weights.shape
    total = weights.sum()
    x = (weights.sum(0) * (np.arange(columns) + 0.5)).sum() / total / columns
    y = (weights.sum(1) * (np.arange(rows) + 0.5)).sum() / total / rows
    return float(x), float(y)


def _ring(pen: Pen, moving: Moving, tick: int, place: tuple[int, int, int]) -> None:
    left, top, side = place
    centre, radius = (left + side / 2, top + side / 2), side / 2 - 8
    neurons, n_e = moving.rates.shape[1], moving.n_e
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
            pen.line(curve, (*colour, round(25 + 190 * strength)), 0.6 + 1.6 * strength)
    loudest = max(float(np.abs(moving.rates).max()), 1e-9)
    for neuron in range(neurons):
        share = math.sqrt(abs(float(moving.rates[tick, neuron])) / loudest)
        pen.dot((at[neuron, 0], at[neuron, 1]), 1 + 5 * share, (*kind(neuron), round(70 + 185 * share)))


def _bend(start: Array, through: Point, end: Array, s: float) -> Point:
    """Return a point of the quadratic curve from ``start`` to ``end``, bent towards ``through``."""
    x, y = ((1 - s) ** 2 * start + 2 * s * (1 - s) * np.asarray(through) + s**2 * end).tolist()
    return x, y


def _classes(pen: Pen, moving: Moving, tick: int, place: tuple[int, int, int]) -> None:
    """Show the one answer and how probable the classes are."""
    left, top, width = place
    ever, p = moving.probabilities[:, 0], moving.probabilities[:, 0, tick]
    answer = int(p.argmax())
    long = len(moving.labels[answer]) > 3
    pen.text((left, top + (14 if long else 0)), moving.labels[answer], 30 if long else 52, INK)
    pen.text((left, top + 64), f"{100 * moving.certainty[tick]:.0f} % certain", 14, SOFT)
    shown = np.sort(np.argsort(-ever.max(1))[:CLASSES])
    names = max(len(moving.labels[c]) for c in shown)
    start = left + min(90, 8 + 8 * names)
    for row, c in enumerate(shown):
        y = top + 96 + row * 17.5
        pen.text((left, y - 2), moving.labels[c], 12, INK if c == answer else SOFT)
        pen.bar((start, y + 2, left + width, y + 11), 1.0, TRACK)
        pen.bar((start, y + 2, left + width, y + 11), float(p[c]), ORANGE if c == answer else SOFT)


def _positions(pen: Pen, moving: Moving, tick: int, place: tuple[int, int, int]) -> None:
    """Show a tile for each position of the answer, the darker the more probable; a wrong one is empty."""
    left, top, width = place
    p = moving.probabilities[:, :, tick]
    answer, positions = p.argmax(0), p.shape[1]
    right = answer == moving.right if moving.right is not None else np.ones(positions, dtype=bool)
    if moving.right is not None:
        pen.text((left, top), f"{right.sum()} of {positions}", 30, INK)
        pen.text((left, top + 40), "of the answer right", 14, SOFT)
    columns = math.ceil(math.sqrt(positions))
    side = width / columns
    for position in range(positions):
        row, column = divmod(position, columns)
        x, y = left + column * side, top + 72 + row * side
        share = float(p[answer[position], position])
        fill = (*INK, round(255 * share)) if right[position] else None
        pen.tile((x + 1, y + 1, x + side - 1, y + side - 1), fill, INK if right[position] else ORANGE)
        colour = PAPER if right[position] and share > 0.5 else INK
        size = min(14.0, 1.6 * side / max(4, *map(len, moving.labels)))
        pen.text((x + side / 2, y + side / 2), moving.labels[answer[position]], size, colour, anchor="mm")


def _certainty(pen: Pen, certainty: Array, tick: int, place: tuple[int, int, int, int]) -> None:
    left, top, width, height = place
    ticks = len(certainty)
    pen.line([(left, top + height), (left + width, top + height)], TRACK, 1)
    across = width / max(ticks - 1, 1)
    points = [(left + t * across, top + height * (1 - float(value))) for t, value in enumerate(certainty[: tick + 1])]
    pen.line(points, INK, 2)
    pen.dot(points[-1], 4, INK)
    pen.text((left, top - 25), f"certainty, tick {tick + 1} of {ticks}", 12, SOFT)

"""The tasks that come with the library, by name: parity, sort, maze, qamnist."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from tide.config import ModelConfig, ScheduleConfig, SequenceConfig
from tide.data.drawn.mazes import draw_mazes
from tide.data.drawn.parity import draw_parity
from tide.data.drawn.questions import draw_questions, scaled
from tide.data.drawn.sorting import draw_sorting
from tide.data.drawn.tasks import Draw, DrawnTask, Maker
from tide.data.load import load
from tide.data.sets import ImageSet
from tide.errors import ConfigError, check
from tide.models.inputs import Questions

Range = tuple[int, int]


def _parity(config: ModelConfig, directory: Path | None) -> DrawnTask:
    length = _sequence(config).length
    _check_answer(config, (length,), 2)

    def draw(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return draw_parity(count, length, generator)

    return DrawnTask(draw, (draw,))


def _sort(config: ModelConfig, directory: Path | None) -> DrawnTask:
    length = _sequence(config).length
    check(
        config.output.emitted == length and config.output.classes == length + 1,
        f"output.emitted is {config.output.emitted} of {config.output.classes} classes, {length} of {length + 1} are "
        "wanted: each number's place, and a blank",
    )

    def draw(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return draw_sorting(count, length, generator)

    return DrawnTask(draw, (draw,))


def _maze(config: ModelConfig, directory: Path | None) -> DrawnTask:
    size, positions = config.images.size, config.output.positions
    _check_answer(config, positions[:1] or (1,), 5)

    def draw(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return draw_mazes(count, size, positions[0], generator)

    return DrawnTask(draw, (draw,))


def _questions(config: ModelConfig, directory: Path | None) -> DrawnTask:
    settings = config.input
    if not isinstance(settings, ScheduleConfig):
        raise ConfigError(f"input.kind is {settings.kind}, schedule is wanted: questions are shown part by part")
    _check_answer(config, (), 10)
    splits = load("mnist", directory)
    train, test = (scaled(part, settings.size) for part in (splits.train, splits.test) if isinstance(part, ImageSet))

    def draw(
        images: ImageSet, digits: Range, operations: Range, count: int, generator: torch.Generator
    ) -> tuple[Questions, Tensor]:
        return draw_questions(images, count, digits, operations, generator)

    difficulties = [
        (digits, operations)
        for digits in range(settings.digits[0], settings.digits[1] + 1)
        for operations in range(settings.operations[0], settings.operations[1] + 1)
    ]
    of_test: list[Draw] = [partial(draw, test, (d, d), (o, o)) for d, o in difficulties]
    return DrawnTask(partial(draw, train, settings.digits, settings.operations), tuple(of_test))


def _sequence(config: ModelConfig) -> SequenceConfig:
    if not isinstance(config.input, SequenceConfig):
        raise ConfigError(f"input.kind is {config.input.kind}, sequence is wanted: the task is one of sequences")
    return config.input


def _check_answer(config: ModelConfig, positions: tuple[int, ...], classes: int) -> None:
    output = config.output
    check(
        output.positions == positions and output.classes == classes and not output.emitted,
        f"output is of {output.classes} classes at positions {output.positions}, {classes} at {positions} are wanted "
        "for this task",
    )


NAMED: Mapping[str, Maker] = {"parity": _parity, "sort": _sort, "maze": _maze, "qamnist": _questions}
"""Each task that comes with the library."""

"""Drawn samples as sets to learn from and to measure on; the tasks that draw them are files beside this one."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tide.config import Config, DrawnConfig, ModelConfig
from tide.config import base as registry
from tide.data.named import folder_hint, names
from tide.data.orders import derive_seed
from tide.data.sets import Batch, Decoding
from tide.errors import ConfigError, check, did_you_mean
from tide.models.inputs import select, shape_of

TEST_COUNT = 1_000  # samples of a test set, or of a set to choose by
TEST_SEED, VALIDATION_SEED = 2_000_003, 2_000_029  # the same for every run: a training step's are derived otherwise

Draw = Callable[[int, torch.Generator], tuple[Any, Tensor]]
"""Draw so many samples: inputs as the model takes them (pixels as uint8), and targets (B, *S) int64, on the CPU."""


class DrawnTask(NamedTuple):
    """How training samples are drawn, and those of each part of the test set: one part for each difficulty."""

    train: Draw
    test: tuple[Draw, ...]


class DrawnSamples:
    """Samples drawn anew for each micro-batch: none is seen twice."""

    def __init__(self, draw: Draw, classes: tuple[str, ...], count: int) -> None:
        """``count`` is how many a whole run draws."""
        self.draw, self.classes, self._count = draw, classes, count

    def __len__(self) -> int:
        """Return how many samples a whole run draws."""
        return self._count

    def drawn(self, count: int, seed: int) -> Batch:
        """Return the samples that a seed determines."""
        inputs, targets = self.draw(count, torch.Generator().manual_seed(seed))
        return Batch(inputs, targets, torch.arange(count))

    def select(self, index: slice | Tensor) -> Batch:
        """Return as many samples as the index has places, always the same."""
        # A range knows its length; places of a whole run as numbers would take half a gigabyte.
        return self.drawn(len(range(self._count)[index] if isinstance(index, slice) else index), 0)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an input."""
        return shape_of(self.select(slice(1)).images)

    def checksum(self) -> int:
        """Return a number that two sets that draw the same samples share."""
        return _checksum([self.drawn(8, 0)])

    def decoded_with(self, decoding: Decoding) -> DrawnSamples:
        """Return the set as it is."""
        return self


class DrawnSet:
    """A fixed set of drawn samples, in parts whose inputs may differ in shape."""

    def __init__(self, parts: Sequence[Batch], classes: tuple[str, ...]) -> None:
        """``parts`` hold inputs, targets and positions, ascending from part to part."""
        self.parts, self.classes = list(parts), classes

    @property
    def labels(self) -> Tensor:
        """Targets of all samples, (N, *S)."""
        return torch.cat([part.labels for part in self.parts])

    def __len__(self) -> int:
        """Return the number of samples."""
        return sum(len(part.labels) for part in self.parts)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an input."""
        return shape_of(self.parts[0].images)

    def part(self, positions: Tensor) -> DrawnSet:
        """Return the set of the samples at ``positions`` (n,)."""
        return DrawnSet(list(self.batches(len(self), positions=positions)), self.classes)

    def select(self, index: slice | Tensor) -> Batch:
        """Return the samples of a slice or at positions (n,), which must lie in one part."""
        (batch,) = self.batches(len(self), positions=torch.arange(len(self))[index])
        return batch

    def batches(self, batch: int, *, positions: Tensor | None = None) -> Generator[Batch, None, None]:
        """Yield the samples in batches of at most ``batch``, each of one part; those at ``positions``, ascending."""
        chosen = torch.arange(len(self)) if positions is None else positions
        begin = 0
        for part in self.parts:
            inside = chosen[(chosen >= begin) & (chosen < begin + len(part.labels))]
            for start in range(0, len(inside), batch):
                some = inside[start : start + batch]
                yield Batch(select(part.images, some - begin), part.labels[some - begin], some)
            begin += len(part.labels)

    def checksum(self) -> int:
        """Return a number that two equal sets share."""
        return _checksum(self.parts)

    def decoded_with(self, decoding: Decoding) -> DrawnSet:
        """Return the set as it is."""
        return self


def drawn_training(config: Config, directory: Path | None = None) -> DrawnSamples:
    """Return the training samples of the task that an experiment names.

    Raises :class:`~tide.errors.ConfigError` for an unknown task and for settings that do not fit it.
    """
    train = config.train
    draw = make_task(config.data.name, config, directory).train
    return DrawnSamples(draw, _classes(config), train.steps * train.batch * train.accumulation)


def drawn_test(name: str, model: ModelConfig, directory: Path | None = None) -> DrawnSet:
    """Return the test samples of a task for a model, the same for every run; raises as :func:`drawn_training`."""
    return _drawn_set(make_task(name, model, directory), TEST_COUNT, TEST_SEED, _classes(model))


def drawn_validation(data: DrawnConfig, model: ModelConfig, directory: Path | None = None) -> DrawnSet:
    """Return the samples to choose by, ``data.validation`` of them; raises as :func:`drawn_training`.

    Of a share below 1, that part of :data:`TEST_COUNT`, one at least.
    """
    count = max(1, round(data.validation * (TEST_COUNT if data.validation < 1 else 1)))
    return _drawn_set(make_task(data.name, model, directory), count, VALIDATION_SEED, _classes(model))


def _classes(model: ModelConfig) -> tuple[str, ...]:
    return tuple(model.output.label(number) for number in range(model.output.classes))


def _drawn_set(task: DrawnTask, count: int, seed: int, classes: tuple[str, ...]) -> DrawnSet:
    """Draw so many samples, the same number of each part to within one."""
    parts, begin = [], 0
    for number, draw in enumerate(task.test):
        size = (count * (number + 1)) // len(task.test) - begin
        if size:
            inputs, targets = draw(size, torch.Generator().manual_seed(derive_seed(seed, number)))
            parts.append(Batch(inputs, targets, torch.arange(begin, begin + size)))
        begin += size
    return DrawnSet(parts, classes)


def _checksum(parts: Sequence[Batch]) -> int:
    value = 0
    for part in parts:
        for tensor in (*(part.images if isinstance(part.images, tuple) else (part.images,)), part.labels):
            value = zlib.crc32(tensor.numpy().tobytes(), value)
    return value


def check_task(name: str) -> None:
    """Raise :class:`ConfigError` unless a task of this name is known."""
    tasks = registry.names("task")
    if name not in tasks:
        hint = folder_hint(name) or did_you_mean(name, (*names(), *tasks, "folder:DIR", "hub:DIR"))
        raise ConfigError(f"data set must be a known one or a task, got {name!r}{hint}")


def make_task(name: str, model: ModelConfig, directory: Path | None) -> DrawnTask:
    """Return the task of a name for a model; raises :class:`ConfigError` where there is none, or it does not fit."""
    check_task(name)
    task: DrawnTask = registry.builder("task", name)(model, directory)
    return task


def one_difficulty(draw: Draw) -> DrawnTask:
    """Return the task whose training and test samples are alike."""
    return DrawnTask(draw, (draw,))


def check_answer(model: ModelConfig, positions: tuple[int, ...], classes: int) -> None:
    """Raise :class:`ConfigError` unless a model answers at ``positions``, one of so many classes each."""
    output = model.output
    check(
        output.positions == positions and output.classes == classes and not output.emitted,
        f"output must be of {classes} classes at positions {positions} for this task, got {output.classes} at "
        f"{output.positions}",
    )

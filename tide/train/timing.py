"""Timing training steps: the same random images every time, several functions in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from tide.config import Config, ImageConfig
from tide.device import synchronize
from tide.errors import TrainingError
from tide.models.inputs import example, moved
from tide.models.thinker import Thinker
from tide.train.step import Trainer, make_optimizer


def step_on_random_images(config: Config, device: torch.device) -> tuple[Trainer, Callable[[], None]]:
    """Return a trainer of ``config`` (resolved) and a function that runs one of its steps on random images.

    The step lies past the curriculum, so that every loss term counts. The function raises :class:`TrainingError` for a
    rejected step, whose time would leave the optimiser out.
    """
    model = Thinker(config.model).to(device)
    trainer = Trainer(model, make_optimizer(model, config.train), config)
    generator, images = torch.Generator().manual_seed(0), example(config.model, config.train.batch)
    if isinstance(config.input, ImageConfig):
        assert isinstance(images, torch.Tensor)
        images = torch.rand(images.shape, generator=generator)
    images = moved(images, device)
    labels = random_targets(config, generator).to(device)
    start, length = config.train.curriculum_start, config.train.curriculum_length
    assert start is not None
    assert length is not None

    def step() -> None:
        result = trainer.step(start + length, [(images, labels)] * config.train.accumulation)
        if not result.accepted:
            raise TrainingError("a timed step was rejected: its loss or gradient is not finite on random images")

    return trainer, step


def random_targets(config: Config, generator: torch.Generator) -> torch.Tensor:
    """Return targets of a micro-batch, (B, *S) int64."""
    output, batch = config.output, config.train.batch
    if output.emitted:
        return torch.randint(output.classes - 1, (batch, output.emitted), generator=generator)
    return torch.randint(output.classes, (batch, *output.positions), generator=generator)


def alternate(
    functions: Sequence[Callable[[], None]], rounds: int, device: torch.device, *, warmup: int = 0
) -> list[list[float]]:
    """Return the seconds that each function took in each of so many rounds, after ``warmup`` others.

    In a round all run in turn, so that a busy moment of the machine touches all alike.
    """
    seconds: list[list[float]] = [[] for _ in functions]
    for number in range(-warmup, rounds):
        for function, times in zip(functions, seconds, strict=True):
            began = time.perf_counter()
            function()
            synchronize(device)
            if number >= 0:
                times.append(time.perf_counter() - began)
    return seconds

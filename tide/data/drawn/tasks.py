"""What a task whose data a program draws consists of, and which there are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor

from tide.config import DrawnConfig, ModelConfig, data_config
from tide.config.run import NamedSet
from tide.errors import ConfigError, did_you_mean, short_repr

Draw = Callable[[int, torch.Generator], tuple[Any, Tensor]]
"""Draw so many samples: inputs as the model takes them (pixels as uint8), and targets (B, *S) int64, on the CPU."""


class DrawnTask(NamedTuple):
    """How training samples are drawn, and those of each part of the test set: one part for each difficulty."""

    train: Draw
    test: tuple[Draw, ...]


Maker = Callable[[ModelConfig, Path | None], DrawnTask]
"""Make a task for what a model takes and answers, given the folder of the named data sets."""

_MAKERS: dict[str, Maker] = {}


def register(name: str, make: Maker) -> None:
    """Make a task known under a name, for ``data.name``; raises :class:`ConfigError` for one that is taken or none."""
    if not isinstance(name, str) or not isinstance(data_config(name), DrawnConfig) or not callable(make):
        raise ConfigError(
            f"task {short_repr(name)} with {short_repr(make)}, a name of no data set and a function are wanted"
        )
    if _MAKERS.get(name, make) is not make:
        raise ConfigError(f"task {name!r} is already registered, another name is wanted")
    _MAKERS[name] = make


def check_task(name: str) -> None:
    """Raise :class:`ConfigError` unless a task of this name is known."""
    if name not in _MAKERS:
        hint = did_you_mean(name, (*get_args(NamedSet), *_MAKERS, "folder:DIR", "hub:DIR"))
        raise ConfigError(f"data set is {name!r}, the name of a known one or of a task is wanted{hint}")


def make_task(name: str, model: ModelConfig, directory: Path | None) -> DrawnTask:
    """Return the task of a name for a model; raises :class:`ConfigError` where there is none, or it does not fit."""
    check_task(name)
    return _MAKERS[name](model, directory)

"""What a model takes: an adapter for each kind of input, which checks, prepares and makes up values of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tide.config import ImageConfig, ModelConfig, ScheduleConfig, SequenceConfig
from tide.inputs import image, schedule, sequence
from tide.inputs.schedule import Questions

__all__ = [
    "Inputs",
    "Questions",
    "answers_from",
    "check_inputs",
    "described",
    "example",
    "fitted",
    "moved",
    "select",
    "shape_of",
    "to_float",
]

Inputs = Tensor | Questions


def check_inputs(inputs: Any, config: ModelConfig) -> None:
    """Raise :class:`~tide.errors.InputError` unless ``inputs`` are what the model takes."""
    if isinstance(config.input, ImageConfig):
        image.check(inputs, config, config.input)
    elif isinstance(config.input, SequenceConfig):
        sequence.check(inputs, config.input)
    else:
        schedule.check(inputs, config.input)


def fitted(inputs: Any, config: ModelConfig) -> Any:
    """Return images at the size that the model was made for, with a warning where they have another; others as is."""
    return image.fitted(inputs, config, config.input) if isinstance(config.input, ImageConfig) else inputs


def example(config: ModelConfig, batch: int = 1) -> Inputs:
    """Return ``batch`` inputs that the model takes, of zeros or the first symbol."""
    if isinstance(config.input, ImageConfig):
        return image.example(config, config.input, batch)
    if isinstance(config.input, SequenceConfig):
        return sequence.example(config.input, batch)
    return schedule.example(config.input, batch)


def described(config: ModelConfig) -> str:
    """Return the shape of an input in a few words."""
    return " x ".join(map(str, shape_of(example(config))))


def shape_of(inputs: Any) -> tuple[int, ...]:
    """Return the shape of one input of several; of a question, that of a digit."""
    return tuple(inputs[0].shape[2:] if isinstance(inputs, tuple) else inputs.shape[1:])


def answers_from(inputs: Any, config: ModelConfig) -> int:
    """Return the first tick (from 0) that counts as an answer: that after everything has been shown."""
    return schedule.ticks_shown(inputs, config.input) if isinstance(config.input, ScheduleConfig) else 0


def to_float(inputs: Any) -> Any:
    """Return pixel values 0..255 (uint8, any shape) as float32 in 0..1; what are no pixels stays as it is."""
    return _each(inputs, lambda part: part.to(torch.float32).div_(255) if part.dtype == torch.uint8 else part)


def moved(inputs: Any, device: torch.device) -> Any:
    """Return inputs on a device."""
    return _each(inputs, lambda part: part.to(device))


def select(inputs: Any, index: Tensor | slice) -> Any:
    """Return the inputs of some samples."""
    return _each(inputs, lambda part: part[index])


def _each(inputs: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Apply a function to the one tensor of inputs, or to each of a NamedTuple's."""
    return type(inputs)(*map(function, inputs)) if isinstance(inputs, tuple) else function(inputs)

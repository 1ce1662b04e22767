"""What an exported model takes, and what it gives: the name of its input, an example of it, and both in words."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tide.config import FeatureMapConfig, ModelConfig, ScheduleConfig, SequenceConfig
from tide.errors import InputError
from tide.inputs import example


def input_name(config: ModelConfig) -> str:
    """Return what the graphs call the input, ``images`` or ``sequence``; raises :class:`InputError` for a schedule."""
    if isinstance(config.input, ScheduleConfig):
        raise InputError("the model takes a schedule, images or a sequence is wanted: a graph is shown one thing only")
    return "sequence" if isinstance(config.input, SequenceConfig) else "images"


def example_of(config: ModelConfig, batch: int) -> Tensor:
    """Return inputs as the graphs take them; raises as :func:`input_name`."""
    if input_name(config) == "images":
        settings, backbone = config.images, config.backbone
        channels = backbone.features if isinstance(backbone, FeatureMapConfig) else settings.channels
        return torch.rand(batch, channels, settings.size, settings.size)
    values = example(config, batch)
    assert isinstance(values, Tensor)
    return values


def described(config: ModelConfig) -> dict[str, Any]:
    """Return the input and the answer as ``model.json`` holds them; raises as :func:`input_name`."""
    name, output = input_name(config), config.output
    if isinstance(config.input, SequenceConfig):
        shape: dict[str, Any] = {"length": config.input.length, "alphabet": list(config.input.alphabet)}
    else:
        shape = {"channels": config.images.channels, "size": config.images.size}
    return {
        "input": name,
        **shape,
        "labels": [output.label(c) for c in range(output.classes)],
        "positions": list(output.positions),
        "emitted": output.emitted,
    }

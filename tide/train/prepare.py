"""From settings to a run that can start: settings fitted to the data, schedule resolved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tide.config import Config
from tide.data import Splits, statistics
from tide.errors import ConfigError
from tide.models.presets import INPUTS
from tide.train.schedule import resolve


def with_data(config: Config, name: str) -> Config:
    """Return ``config`` for another data set; a named one brings its shape and pixel statistics with it.

    The path of a photo folder is made absolute, so that the run can be resumed from anywhere.
    """
    if name.startswith("folder:"):
        name = f"folder:{Path(name.removeprefix('folder:')).expanduser().resolve()}"
    return replace(config, data=replace(config.data, name=name), input=INPUTS.get(name, config.input))


def fit_to_data(config: Config, splits: Splits) -> Config:
    """Return ``config`` with class names (and for a photo folder, classes and pixel statistics) of its data.

    Raises :class:`ConfigError` when the data's shape is not the one that the settings name.
    """
    images, labels = splits.train.images, splits.train.classes
    settings = config.input
    if config.data.name.startswith("folder:"):
        mean, std = statistics(images)
        settings = replace(settings, classes=len(labels), mean=mean, std=std, labels=())
    wanted = (settings.channels, settings.size, settings.classes)
    found = (images.shape[1], images.shape[2], len(labels))
    if wanted != found:
        raise ConfigError(
            f"{splits.name} has {found[0]} channels, {found[1]} pixels, {found[2]} classes; the settings want "
            f"{wanted[0]}, {wanted[1]}, {wanted[2]}: use --data, which sets them"
        )
    return replace(config, input=replace(settings, labels=labels))


def resolved(config: Config) -> Config:
    """Return ``config`` with its schedule filled in."""
    return replace(config, train=resolve(config.train))

"""From settings to a run that can start: settings fitted to the data, schedule resolved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tide.config import (
    Config,
    DataSettings,
    DrawnConfig,
    FolderConfig,
    HubConfig,
    ImageConfig,
    OutputConfig,
    data_config,
)
from tide.data import ImageSet, Splits, check_task, statistics
from tide.data.hub import absolute_place
from tide.errors import ConfigError
from tide.models.presets import INPUTS, OUTPUTS
from tide.train.step import resolve


def with_data(config: Config, name: str) -> Config:
    """Return ``config`` for another data set; a named one brings its shape and pixel statistics with it.

    What both kinds of data have stays: augmentation, held-out images. Raises :class:`ConfigError` for an unknown name.
    """
    data = _absolute(data_config(name, config.data))
    if isinstance(data, DrawnConfig):
        check_task(data.name)
    return replace(config, data=data, input=INPUTS.get(name, config.input), output=OUTPUTS.get(name, config.output))


def fit_to_data(config: Config, splits: Splits) -> Config:
    """Return ``config`` with class names (and for photos, their number, and pixel statistics in memory) of its data.

    Streamed photos keep the pixel statistics of the settings. A data set of the hub is named with its commit, so that
    the run goes on with the same version. Raises :class:`ConfigError` when the data's shape is not the one that the
    settings name.
    """
    labels, settings, output = splits.train.classes, config.input, config.output
    if not isinstance(settings, ImageConfig) or isinstance(config.data, DrawnConfig):
        return config
    if isinstance(config.data, FolderConfig | HubConfig):
        output = OutputConfig(classes=len(labels))
        if isinstance(splits.train, ImageSet):
            mean, std = statistics(splits.train.images)
            # A channel that is the same everywhere has no deviation: it becomes zeros, whatever it is divided by.
            settings = replace(settings, mean=mean, std=tuple(value or 1.0 for value in std))
        config = replace(config, data=replace(config.data, name=data_config(splits.name).name))
    wanted = (settings.channels, settings.size, output.classes)
    found = (*splits.train.shape[:2], len(labels))
    if wanted != found:
        raise ConfigError(
            f"{splits.name} has {found[0]} channels, {found[1]} pixels, {found[2]} classes; the settings want "
            f"{wanted[0]}, {wanted[1]}, {wanted[2]}: use --data, which sets them"
        )
    return replace(config, input=settings, output=replace(output, labels=labels))


def resolved(config: Config) -> Config:
    """Return ``config`` with its schedule filled in, and with a path of its photos that means the same anywhere."""
    return replace(config, train=resolve(config.train), data=_absolute(config.data))


def _absolute(data: DataSettings) -> DataSettings:
    if isinstance(data, HubConfig):
        return replace(data, name=absolute_place(data.name))
    if isinstance(data, FolderConfig):
        return replace(data, name=str(Path(data.name).expanduser().resolve()))
    return data

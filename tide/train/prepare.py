"""From settings to a run that can start: settings fitted to the data, schedule resolved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tide.config import Config, ImageConfig, OutputConfig
from tide.data import ImageSet, PhotoStream, Splits, hub_place, is_drawn, statistics
from tide.errors import ConfigError
from tide.models.presets import INPUTS, OUTPUTS
from tide.train.schedule import resolve


def with_data(config: Config, name: str) -> Config:
    """Return ``config`` for another data set; a named one brings its shape and pixel statistics with it.

    Photos in Parquet files are decoded when they are used, and cropped then; a named set is in memory.
    """
    kind, data = name.partition(":")[0], config.data
    photos = {"folder": data.photos, "hub": "streamed"}.get(kind, "in_memory")
    data = replace(
        data,
        name=_absolute(name),
        photos=photos,
        crop_padding=0 if photos == "streamed" else data.crop_padding,
        shuffle_buffer=data.shuffle_buffer if kind == "hub" else 0,
    )
    return replace(config, data=data, input=INPUTS.get(name, config.input), output=OUTPUTS.get(name, config.output))


def fit_to_data(config: Config, splits: Splits) -> Config:
    """Return ``config`` with class names (and for photos, their number, and pixel statistics in memory) of its data.

    Streamed photos keep the pixel statistics of the settings. A data set of the hub is named with its commit, so that
    the run goes on with the same version. Raises :class:`ConfigError` when the data's shape is not the one that the
    settings name, and :class:`~tide.errors.DataError` when a stream has too few row groups for its micro-batches.
    """
    labels, settings, output = splits.train.classes, config.input, config.output
    if not isinstance(settings, ImageConfig) or is_drawn(config.data.name):
        return config
    if config.data.name.startswith(("folder:", "hub:")):
        output = OutputConfig(classes=len(labels))
        if isinstance(splits.train, ImageSet):
            mean, std = statistics(splits.train.images)
            settings = replace(settings, mean=mean, std=std)
        config = replace(config, data=replace(config.data, name=splits.name))
    if isinstance(splits.train, PhotoStream):
        splits.train.order(config.train.accumulation, config.seed)  # refuses what cannot be dealt out
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
    data = replace(config.data, name=_absolute(config.data.name))
    return replace(config, train=resolve(config.train), data=data)


def _absolute(name: str) -> str:
    kind, _, place = name.partition(":")
    if kind == "hub":
        return f"hub:{hub_place(name)}"
    return f"folder:{Path(place).expanduser().resolve()}" if kind == "folder" else name

"""From settings to a run that can start: settings fitted to the data, schedule resolved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tide.config import Config
from tide.data import AnySplits, ImageSet, hub_place, statistics
from tide.errors import ConfigError
from tide.models.presets import INPUTS
from tide.train.schedule import resolve


def with_data(config: Config, name: str) -> Config:
    """Return ``config`` for another data set; a named one brings its shape and pixel statistics with it.

    The path of a folder is made absolute, so that the run can be resumed from anywhere. Photos in Parquet files are
    decoded when they are used; a named set is in memory.
    """
    kind, _, place = name.partition(":")
    data = config.data
    if kind == "hub":
        name = f"hub:{hub_place(name)}"
    elif place:
        name = f"{kind}:{Path(place).expanduser().resolve()}"
    photos = {"folder": data.photos, "hub": "streamed"}.get(kind, "in_memory")
    data = replace(data, name=name, photos=photos, shuffle_buffer=data.shuffle_buffer if kind == "hub" else 0)
    return replace(config, data=data, input=INPUTS.get(name, config.input))


def fit_to_data(config: Config, splits: AnySplits) -> Config:
    """Return ``config`` with class names (and for photos, their number, and pixel statistics in memory) of its data.

    Streamed photos keep the pixel statistics of the settings. Raises :class:`ConfigError` when the data's shape is not
    the one that the settings name.
    """
    labels, settings = splits.train.classes, config.input
    if config.data.name.startswith(("folder:", "hub:")):
        settings = replace(settings, classes=len(labels), labels=())
        if isinstance(splits.train, ImageSet):
            mean, std = statistics(splits.train.images)
            settings = replace(settings, mean=mean, std=std)
    wanted = (settings.channels, settings.size, settings.classes)
    found = (*splits.train.shape[:2], len(labels))
    if wanted != found:
        raise ConfigError(
            f"{splits.name} has {found[0]} channels, {found[1]} pixels, {found[2]} classes; the settings want "
            f"{wanted[0]}, {wanted[1]}, {wanted[2]}: use --data, which sets them"
        )
    return replace(config, input=replace(settings, labels=labels))


def resolved(config: Config) -> Config:
    """Return ``config`` with its schedule filled in."""
    return replace(config, train=resolve(config.train))

"""What earlier versions wrote, and what people may write in short, brought to the form of this one."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tide.config.data import DataConfig, data_config

FORMAT = 2
"""Number of the form of a model's configuration: 1 had classes and their names among the settings of the input."""

MOVED = ("classes", "labels")
FORMER = {"crop_padding": 0, "flip": False, "photos": "in_memory", "shuffle_buffer": 0, "unreadable_limit": 100}
"""What data of any kind had, before they came by kind, and the values that said nothing."""
FIRST = {"name", "crop_padding", "flip"}
"""What every version wrote of the data."""


def upgraded(mapping: Mapping[str, Any], data: DataConfig | None = None) -> dict[str, Any]:
    """Return the settings of a configuration of any format in the present one; what is of it stays as it is.

    ``data`` are those that the settings will be laid over.
    """
    return _data_by_kind(_without_shuffle_buffer(_with_output(mapping)), data)


def _with_output(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Move the classes from the input to the output."""
    settings = mapping.get("input")
    if not isinstance(settings, Mapping) or not any(name in settings for name in MOVED):
        return dict(mapping)
    moved = {name: settings[name] for name in MOVED if name in settings}
    output = mapping.get("output")
    return {
        **mapping,
        "input": {name: value for name, value in settings.items() if name not in MOVED},
        "output": {**moved, **(output if isinstance(output, Mapping) else {})},
    }


def _without_shuffle_buffer(mapping: dict[str, Any]) -> dict[str, Any]:
    """Leave out how many photos of the hub were shuffled together while they were streamed."""
    data = mapping.get("data")
    if not isinstance(data, Mapping) or "shuffle_buffer" not in data:
        return mapping
    if data.get("kind") != "hub" and not str(data.get("name")).startswith("hub:"):
        return mapping
    if data["shuffle_buffer"]:
        warnings.warn(
            f"data.shuffle_buffer is {data['shuffle_buffer']} and no longer read: photos of the hub are brought here "
            "first, and all are shuffled together",
            stacklevel=2,
        )
    return {**mapping, "data": {name: value for name, value in data.items() if name != "shuffle_buffer"}}


def _data_by_kind(mapping: dict[str, Any], base: DataConfig | None) -> dict[str, Any]:
    """Give data that are only named, ``folder:DIR``, their kind, and leave out what it has not and said nothing."""
    given = mapping.get("data")
    if not isinstance(given, Mapping) or "kind" in given or not isinstance(given.get("name"), str):
        return mapping
    section = asdict(data_config(given["name"], base))
    silent = FORMER | {"photos": "streamed"} if section["kind"] == "hub" else FORMER
    written = given.keys() >= FIRST  # by an earlier version, which gave every setting to every kind
    rest = {
        name: value
        for name, value in given.items()
        if name in section or name not in silent or not (written or value == silent[name])
    }
    return {**mapping, "data": {**section, **rest, "name": section["name"]}}

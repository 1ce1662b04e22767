"""What earlier versions wrote, brought to the form of this one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FORMAT = 2
"""Number of the form of a configuration: 1 had classes and their names among the settings of the input."""

MOVED = ("classes", "labels")


def upgraded(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a configuration of any format as format 2 has them; what is of it stays as it is."""
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

"""What a run wrote down, read again: a line of a log, or its results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tide.errors import CheckpointError, shown


class Reading(dict[str, Any]):
    """A mapping that was read from a file; what it lacks is told in one line, wherever it is looked up."""

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.path = path

    def __missing__(self, name: str) -> Any:
        """Raise :class:`CheckpointError`."""
        raise CheckpointError(f"{self.path} lacks {name!r}, a value is wanted: restore it, it was changed by hand")


def read_line(path: Path, line: Any) -> Reading:
    """Return a line of a log; raises ValueError unless it holds numbers beside its kind, and a whole one for a step."""
    if not isinstance(line, dict):
        raise ValueError("a line is no mapping")
    for name, value in line.items():
        wrong = type(value) is not int if name == "step" else isinstance(value, str) and name != "kind"
        if wrong:
            raise ValueError(f"{name} is {shown(value)}, a number is wanted")
    return Reading(path, line)

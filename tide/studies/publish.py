"""A study's results on disk: numbers first, then pictures, with the command that gives them again anywhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tide.errors import InputError
from tide.studies.figures import save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLACES = ("--data-dir", "--out", "--jobs")
"""Options that say where and how, not what: left out of the command that a result is published with."""


def told(command: str, arguments: Sequence[str]) -> str:
    """Return the command line that gives the same result anywhere, without the places of this machine."""
    return " ".join(["tide", command, *without_places(arguments)])


def without_places(arguments: Sequence[str]) -> list[str]:
    """Return a command's arguments without those that name places of this machine."""
    kept, skip = [], False
    for argument in arguments:
        if skip:
            skip = False
        elif argument in PLACES:
            skip = True
        elif not argument.startswith(tuple(f"{place}=" for place in PLACES)):
            kept.append(argument)
    return kept


def save_study(
    out: Path, name: str, result: Mapping[str, Any], text: str, figures: Mapping[str, Callable[[], Figure]]
) -> None:
    """Write NAME.json and NAME.md into the study's folder; draw the pictures only then, so that no number is lost."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        (out / f"{name}.md").write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}; give another --out") from error
    try:
        for file, draw in figures.items():
            save(draw(), out / file)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}; give another --out") from error

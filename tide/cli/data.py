"""``tide data``: list the data sets found, or fetch one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from tide.cli.parse import parse
from tide.errors import InputError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class DataArguments:
    """Options of the data commands."""

    words: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Nothing (list what is there), or: fetch NAME [NAME ...]."""
    data_dir: Path | None = None
    """Folder of the data sets (none: $TIDE_DATA, else a cache folder of the user's)."""


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    given = parse(DataArguments, arguments, prog="tide data", description="List the data sets found, or fetch one.")
    from tide.data import default_directory, fetch, names, status

    directory = given.data_dir or default_directory()
    if not given.words:
        print(f"data folder: {directory}")
        for name, found in status(directory):
            print(f"  {name:<14} {found if found is not None else f'not found; tide data fetch {name}'}")
        return 0
    action, *wanted = given.words
    if action not in ("fetch", "list"):
        raise InputError(f"unknown data command {action!r}{did_you_mean(action, ('fetch', 'list'))}")
    if action == "list":
        return run(["--data-dir", str(directory)])
    if not wanted:
        raise InputError(f"no data set is given, the name of one is wanted: {', '.join(names())}")
    for name in wanted:
        print(f"{name}: {fetch(name, directory)}")
    return 0

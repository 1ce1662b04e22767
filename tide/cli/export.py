"""``tide export``: a trained model for a machine without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from tide.cli.parse import parse
from tide.device import set_threads
from tide.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ExportArguments:
    """Options of an export."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folder, or folder that save_pretrained wrote."""
    out: Path | None = None
    """Folder for begin.onnx, tick.onnx, read.onnx and model.json."""
    checkpoint: Literal["best", "last"] = "best"
    """Which checkpoint of a run to read."""
    threads: int | None = None
    """Threads of one operation on the CPU."""


def run(arguments: Sequence[str]) -> int:
    """Run the command: the paths of the files written, with their sizes."""
    given = parse(
        ExportArguments, arguments, prog="tide export", description="Write a trained model for a machine without torch."
    )
    if given.out is None:
        raise InputError("nothing to write: give --out FOLDER for ONNX")
    if len(given.runs) != 1:
        raise InputError(f"{len(given.runs)} runs given, one is wanted with --out: export them one by one")
    set_threads(given.threads)
    from tide.export.folder import write_folder
    from tide.models.load import load

    for path in write_folder(load(given.runs[0], checkpoint=given.checkpoint), given.out):
        print(f"{path}  {path.stat().st_size:,} bytes")
    return 0

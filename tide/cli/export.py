"""``tide export``: a trained model for a machine without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from tide.cli.parse import parse
from tide.cli.targets import check_file, check_folder
from tide.device import set_threads
from tide.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ExportArguments:
    """Options of an export."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders, or folders that save_pretrained wrote: one, or with --html several side by side."""
    out: Path | None = None
    """Folder for begin.onnx, tick.onnx, read.onnx and model.json."""
    html: Path | None = None
    """One file to open in a browser: draw, watch the model think, disturb it. Weights are rounded to half precision."""
    data_dir: Path | None = None
    """Folder of the data sets, for a few test images on the page."""
    checkpoint: Literal["best", "last"] = "best"
    """Which checkpoint of a run to read."""
    threads: int | None = None
    """Threads of one operation on the CPU."""


def run(arguments: Sequence[str]) -> int:
    """Run the command: the paths of the files written, with their sizes."""
    given = parse(
        ExportArguments, arguments, prog="tide export", description="Write a trained model for a machine without torch."
    )
    if given.out is None and given.html is None:
        raise InputError("nothing to write: give --out FOLDER for ONNX, or --html FILE for a page")
    if not given.runs:
        raise InputError("no run given; name one before the options")
    if given.out is not None and len(given.runs) != 1:
        raise InputError(f"{len(given.runs)} runs given, one is wanted with --out: export them one by one")
    check_folder("--out", given.out)
    check_file("--html", given.html)
    set_threads(given.threads)
    written = []
    if given.out is not None:
        from tide.export.onnx import write_folder
        from tide.models.load import load

        written += write_folder(load(given.runs[0], checkpoint=given.checkpoint), given.out)
    if given.html is not None:
        from tide.cli.pages import shown_with_examples
        from tide.export.page import write_page

        write_page(given.html, *shown_with_examples(given.runs, given.checkpoint, given.data_dir))
        written.append(given.html)
    for path in written:
        print(f"{path}  {path.stat().st_size:,} bytes")
    return 0

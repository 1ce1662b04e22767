"""``tide predict``: classify photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from tide.cli.parse import parse
from tide.device import DeviceName, pick_device, set_threads


@dataclass(frozen=True, kw_only=True)
class PredictArguments:
    """Options of a prediction."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder, or folder that save_pretrained wrote."""
    images: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """PNG or JPEG files of any size and mode."""
    halt: float | None = None
    """Stop thinking about an image once the certainty reaches this value, e.g. 0.9."""
    checkpoint: Literal["best", "last"] = "best"
    """Which checkpoint of a run to read."""
    device: DeviceName = "auto"
    """Device to compute on."""
    threads: int | None = None
    """Threads of one operation on the CPU."""


def run(arguments: Sequence[str]) -> int:
    """Run the command: one line per image with label, certainty and ticks used."""
    given = parse(
        PredictArguments, arguments, prog="tide predict", description="Classify images: label, certainty, ticks used."
    )
    set_threads(given.threads)
    from tide.errors import InputError
    from tide.models.load import load
    from tide.runs.reopen import read_photo

    if not given.images:
        raise InputError("no image given; name one or more PNG or JPEG files after the run")
    device = pick_device(given.device)
    model = load(given.run, checkpoint=given.checkpoint).to(device)
    photos = [read_photo(model, path) for path in given.images]
    width = max(len(str(path)) for path in given.images)
    for path, photo in zip(given.images, photos, strict=True):
        answer = model.predict(photo.to(device), halt=given.halt)
        label = model.config.output.label(int(answer.label))
        print(f"{path!s:<{width}}  {label}  certainty {float(answer.certainty):.3f}  ticks {int(answer.ticks)}")
    return 0

"""``tide predict``: classify photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from tide.cli.options import Checkpoint, Device
from tide.cli.parse import parse
from tide.device import pick_device, set_threads


@dataclass(frozen=True, kw_only=True)
class PredictOptions(Checkpoint, Device):
    """Options of a prediction."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder, or folder that save_pretrained wrote."""
    images: Annotated[tuple[str, ...], tyro.conf.Positional]
    """PNG or JPEG files of any size and mode; for a model of sequences, 0110 or 0.3,-1.2,0.7."""
    question: str | None = None
    """For a model of questions, one about the digits on the images, named by their places: 0+1-0."""
    halt: float | None = None
    """Stop thinking about an image once the certainty reaches this value, e.g. 0.9."""


def run(arguments: Sequence[str]) -> int:
    """Run the command: one line per image with label, certainty and ticks used."""
    options = parse(
        PredictOptions,
        arguments,
        prog="tide predict",
        description="Answer about images or sequences: label, certainty, ticks used.",
    )
    set_threads(options.threads)
    from tide.errors import InputError
    from tide.models.inputs import moved
    from tide.models.load import load
    from tide.runs.reopen import read_asked, told

    if not options.images:
        raise InputError("no image given; name one or more PNG or JPEG files after the run")
    device = pick_device(options.device)
    model = load(options.run, checkpoint=options.checkpoint).to(device)
    asked = read_asked(model, options.images, options.question)
    width = max(len(name) for name, _ in asked)
    for name, inputs in asked:
        answer = model.predict(moved(inputs, device), halt=options.halt)
        label = told(model, answer)
        print(f"{name:<{width}}  {label}  certainty {float(answer.certainty):.3f}  ticks {int(answer.ticks)}")
    return 0

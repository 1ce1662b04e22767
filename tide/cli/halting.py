"""``tide eval --halt-sweep``: what stopping early costs and gains, and what thinking longer does."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from tide.errors import InputError
from tide.evaluate.halting import HaltingSweep, LongerThought, sweep_thresholds, think_longer
from tide.models.thinker import Thinker
from tide.plots.halting import draw_halting, stopping_shares
from tide.runs.folder import describe_environment
from tide.runs.reopen import TestData
from tide.studies.publish import save


def run(
    model: Thinker,
    data: TestData,
    name: str,
    *,
    batch: int,
    ticks: int | None,
    images: int | None,
    out: Path | None,
    command: str,
) -> int:
    """Sweep, print the table, write JSON and picture: to ``out`` and beside it, else into the current folder."""
    if images is not None and images < 1:
        raise InputError(f"--images is {images}, 1 or more are wanted")
    test = data.test if images is None else data.test.part(torch.arange(min(images, len(data.test))))
    with Console(stderr=True).status("measuring") as status:

        def show(what: str, done: int, total: int) -> None:
            status.update(f"{what}: {done} of {total} images")

        sweep = sweep_thresholds(model, test, batch=batch, ticks=ticks, progress=lambda d, t: show("thresholds", d, t))
        longer = think_longer(model, test, progress=lambda d, t: show("thinking longer", d, t))
    path = out or Path(f"halting-{name}.json")
    _print(sweep, longer, data.name, len(test))
    figure = draw_halting(sweep, longer, test, f"{name}: {data.name}, {len(test)} test images")
    try:
        path.write_text(json.dumps(_data(sweep, longer, data.name, name, command), indent=2) + "\n", encoding="utf-8")
        save(figure, path.with_suffix(".png"))
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; give another --out") from error
    print(f"{path}, {path.with_suffix('.png')}")
    return 0


def _print(sweep: HaltingSweep, longer: LongerThought, data: str, images: int) -> None:
    print(f"{data}, {images} test images, {torch.get_num_threads()} threads")
    print("  threshold  accuracy  mean ticks  images/s  speed-up")
    for run in sweep.runs:
        threshold = "none" if run.threshold is None else f"{run.threshold:g}"
        print(
            f"  {threshold:>9}  {100 * run.accuracy:6.2f} %  {run.mean_ticks:10.2f}  {run.images_per_second:8.0f}  "
            f"{run.speed_up:7.2f}x"
        )
    print(
        f"  thinking {len(longer.fixed_tick)} ticks, trained with {longer.trained_ticks}: "
        f"{100 * longer.fixed_tick[-1]:.2f} % at the last, "
        f"{100 * longer.most_certain_so_far[-1]:.2f} % at the most certain"
    )


def _data(sweep: HaltingSweep, longer: LongerThought, data: str, name: str, command: str) -> dict[str, Any]:
    classes = int(sweep.labels.max()) + 1
    return {
        "run": name,
        "data": data,
        "images": len(sweep.labels),
        "thresholds": [asdict(run) for run in sweep.runs],
        "shown_threshold": sweep.shown,
        # An answer of several positions is of no one class.
        "stopping_ticks_per_class": [[round(float(v), 4) for v in row] for row in stopping_shares(sweep, classes)]
        if sweep.labels.dim() == 1
        else None,
        "easiest": sweep.easiest(),
        "hardest": sweep.hardest(),
        "thinking_longer": asdict(longer),
        "environment": {**describe_environment(), "command": command},
    }

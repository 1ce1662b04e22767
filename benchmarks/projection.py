"""Measure what a guarantee's projection takes of a training step: ``python benchmarks/projection.py --out FILE.json``.

Every guarantee trains in turn on random images, past the curriculum; a share is that of the same step. Medians.
"""

from __future__ import annotations

import json
import shlex
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

from tide.models.presets import preset
from tide.runs.folder import describe_environment
from tide.train.supervised import resolved
from tide.train.timing import alternate, step_on_random_images

GUARANTEES = ("none", "contraction", "lds")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Measure the projection."""

    preset: str = "mnist"
    steps: int = 15
    threads: int = 2
    out: Path | None = None
    """JSON file to write."""


def measure(settings: Settings) -> dict[str, dict[str, float]]:
    """Return the median seconds of a step and of its projection, and the median share, by guarantee."""
    torch.set_num_threads(settings.threads)
    spent: dict[str, list[float]] = {name: [] for name in GUARANTEES}
    steps = []
    for name in GUARANTEES:
        config = resolved(preset(settings.preset, core={"norm": "rms_cap", "guarantee": name}))
        trainer, step = step_on_random_images(config, torch.device("cpu"))

        def timed(project=trainer.model.project_, seconds=spent[name]) -> None:
            began = time.perf_counter()
            project()
            seconds.append(time.perf_counter() - began)

        trainer.model.project_ = timed  # type: ignore[method-assign]
        steps.append(step)
    whole = dict(zip(GUARANTEES, alternate(steps, settings.steps, torch.device("cpu"), warmup=1), strict=True))
    return {
        name: {
            "step_seconds": statistics.median(whole[name]),
            "projection_seconds": statistics.median(spent[name][1:]),
            "share": statistics.median(a / b for a, b in zip(spent[name][1:], whole[name], strict=True)),
        }
        for name in GUARANTEES
    }


def main() -> None:
    """Measure, print, write."""
    settings = tyro.cli(Settings, description=__doc__)
    result = {
        "guarantees": measure(settings),
        "command": shlex.join(["python", *sys.argv]),
        "environment": describe_environment(),
    }
    print(json.dumps(result["guarantees"], indent=2))
    if settings.out is not None:
        settings.out.parent.mkdir(parents=True, exist_ok=True)
        settings.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

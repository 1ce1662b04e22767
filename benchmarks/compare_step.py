"""Time a training step of TIDE against those of CTM and LSTM: same D, ticks, history, attention and backbone.

``python benchmarks/compare_step.py --task mnist --ticks 25 --memory-length 15 --out FILE.json`` runs one step of each
model in turn, round after round, on the same random images, past the curriculum, so that every loss term counts and a
busy moment of the machine touches all alike. Medians, and the median over rounds of the ratio to TIDE's step.
"""

from __future__ import annotations

import json
import shlex
import statistics
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
import tyro
from reporting import save

from tide.analysis.costs import count_operations
from tide.device import DeviceName, pick_device, set_threads
from tide.models.presets import MODELS
from tide.runs.folder import describe_environment
from tide.studies.comparison import task_config
from tide.studies.runner import shared_changes
from tide.train.step import alternate, step_on_random_images
from tide.train.supervised import resolved


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Compare training steps. What is not given comes from TIDE's preset for the task; threads, from torch."""

    task: str = "mnist"
    models: tuple[str, ...] = ("tide", "ctm", "lstm")
    ticks: int | None = None
    memory_length: int | None = None
    batch: int | None = None
    threads: int | None = None
    rounds: int = 15
    """Timed rounds, after three others."""
    device: DeviceName = "cpu"
    out: Path | None = None
    """JSON file to write."""


def measure(settings: Settings) -> dict[str, object]:
    """Return seconds per step of each model and its ratio to the first."""
    set_threads(settings.threads)
    device = pick_device(settings.device)
    base = task_config(
        settings.task,
        shared_changes({}, ticks=settings.ticks, memory_length=settings.memory_length, batch=settings.batch),
    )
    made = {name: step_on_random_images(resolved(MODELS[name](base)), device) for name in settings.models}
    times = alternate([step for _, step in made.values()], settings.rounds, device, warmup=3)
    seconds = dict(zip(made, times, strict=True))
    first = seconds[settings.models[0]]
    models = {}
    for name, (trainer, _) in made.items():
        ratios = [mine / theirs for mine, theirs in zip(seconds[name], first, strict=True)]
        operations = count_operations(trainer.model)
        models[name] = {
            "seconds_median": statistics.median(seconds[name]),
            "seconds_least": min(seconds[name]),
            "seconds_most": max(seconds[name]),
            f"ratio_to_{settings.models[0]}": statistics.median(ratios),
            "loop": trainer.model.tick_loop().reason,
            "parameters": sum(p.numel() for p in trainer.model.parameters()),
            "operations_per_tick": operations.tick,
            "operations_per_image": operations.image(base.core.ticks),
        }
    return {
        "settings": {name: value for name, value in asdict(settings).items() if name != "out"},
        "neurons": base.core.neurons,
        "ticks": base.core.ticks,
        "batch": base.train.batch,
        "threads": torch.get_num_threads(),
        "models": models,
        "date": datetime.now(UTC).date().isoformat(),
        "command": shlex.join(["python", *sys.argv]),
        "environment": describe_environment(),
    }


def main() -> None:
    """Measure, print, write."""
    settings = tyro.cli(Settings, description=__doc__)
    result = measure(settings)
    print(json.dumps(result, indent=2))
    save("compare_step", result, settings.out)


if __name__ == "__main__":
    main()

"""Measure peak memory and time of one training step, over ticks, with and without recomputation and truncation.

``python benchmarks/memory.py --preset imagenet --batch 2 --ticks 50 --tbptt 0 25 --recompute 0 5 --out FILE.json`` runs
each combination in a process of its own, since a process never gives its peak back: random images, two steps, the
second timed. Peak is the most memory that the process ever held (resident set on the CPU); ``before`` is what it held
once model and optimiser were made, so that the difference is what a step needs.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import torch
import tyro

from tide.device import peak_memory
from tide.models.presets import preset
from tide.models.thinker import Thinker
from tide.runs.folder import describe_environment
from tide.train.step import Trainer, make_optimizer
from tide.train.supervised import resolved


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Measure memory. What is not given comes from the preset."""

    preset: str = "mnist"
    batch: int | None = None
    ticks: tuple[int, ...] = (25, 50, 100)
    tbptt: tuple[int, ...] = (0,)
    recompute: tuple[int, ...] = (0, 5)
    threads: int = 2
    limit: float = 1200.0
    """Seconds after which a combination is given up."""
    out: Path | None = None
    """JSON file to write."""
    one: bool = False
    """Measure the first combination in this process and print it as JSON (what each process is started with)."""


def measure(settings: Settings) -> dict[str, float]:
    """Return memory in MiB, once the model is made and at its peak, and the seconds of the second step."""
    torch.set_num_threads(settings.threads)
    train = {"tbptt": settings.tbptt[0], "recompute": settings.recompute[0], "accumulation": 1}
    if settings.batch is not None:
        train["batch"] = settings.batch
    config = resolved(preset(settings.preset, core={"ticks": settings.ticks[0]}, train=train))
    model = Thinker(config.model)
    trainer = Trainer(model, make_optimizer(model, config.train), config)
    shape, count = config.images, config.train.batch
    images, labels = (
        torch.rand(count, shape.channels, shape.size, shape.size),
        torch.randint(config.output.classes, (count,)),
    )
    before, seconds = peak_memory(torch.device("cpu")), 0.0
    for step in range(2):
        began = time.perf_counter()
        if not trainer.step(step, [(images, labels)]).accepted:
            raise RuntimeError("the step was rejected")
        seconds = time.perf_counter() - began
    return {"before_mib": before, "peak_mib": peak_memory(torch.device("cpu")), "seconds": seconds}


def run(command: list[str], limit: float) -> dict[str, Any]:
    """Return what a process measured, or why it did not."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return {"failed": f"no answer in {limit:g} s"}
    if done.returncode != 0:
        return {"failed": f"exit {done.returncode}: {(done.stderr.splitlines() or [''])[-1][:200]}"}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure every combination, print, write."""
    settings = tyro.cli(Settings, description=__doc__)
    if settings.one:
        print(json.dumps(measure(settings)))
        return
    if settings.out is not None:
        settings.out.parent.mkdir(parents=True, exist_ok=True)
    rows = []
    for ticks, tbptt, recompute in product(settings.ticks, settings.tbptt, settings.recompute):
        options = ["--preset", settings.preset, "--threads", str(settings.threads), "--one"]
        options += ["--ticks", str(ticks), "--tbptt", str(tbptt), "--recompute", str(recompute)]
        options += ["--batch", str(settings.batch)] if settings.batch is not None else []
        command = [sys.executable, __file__, *options]
        rows.append({"ticks": ticks, "tbptt": tbptt, "recompute": recompute, **run(command, settings.limit)})
        print(rows[-1], flush=True)
    shown = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(settings).items()}
    result = {
        "settings": {name: value for name, value in shown.items() if name not in ("one", "out", "limit")},
        "batch": settings.batch or preset(settings.preset).train.batch,
        "rows": rows,
        "date": datetime.now(UTC).date().isoformat(),
        "command": shlex.join(["python", *sys.argv]),
        "environment": describe_environment(),
    }
    if settings.out is not None:
        settings.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

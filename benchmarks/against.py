"""Time a training step against that of another checkout: ``python benchmarks/against.py DIR --out FILE.json``.

Each checkout takes its steps in a process of its own, in turn with the others, on the same random images: the other one
as it is, this one with the eager loop over ticks and with the native one. Medians over rounds.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from reporting import save

from tide.runs.folder import describe_environment

STEPPER = """
import sys, time, torch
task, ticks, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
from tide.models.presets import preset
from tide.models.thinker import Thinker
from tide.train.step import make_optimizer
from tide.train.supervised import resolved
from tide.train.step import Trainer
config = resolved(preset(task, core={"ticks": ticks}))
model = Thinker(config.model)
trainer = Trainer(model, make_optimizer(model, config.train), config)
shape = (config.train.batch, config.images.channels, config.images.size, config.images.size)
images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
labels = torch.arange(config.train.batch) % config.output.classes
for index, line in enumerate(sys.stdin):
    began = time.perf_counter()
    trainer.step(index, [(images, labels)])
    print(time.perf_counter() - began, flush=True)
"""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Time against another checkout."""

    other: Annotated[Path, tyro.conf.Positional]
    """Folder of the other checkout."""
    task: str = "mnist"
    ticks: tuple[int, ...] = (50, 25)
    threads: tuple[int, ...] = (1, 2)
    rounds: int = 9
    """Timed rounds, after two others."""
    out: Path | None = None


class Stepper:
    """A process that takes a training step whenever it is asked."""

    def __init__(self, checkout: Path, native: str, *arguments: object) -> None:
        environment = os.environ | {"PYTHONPATH": str(checkout), "TIDE_NATIVE": native, "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, "-c", STEPPER, *map(str, arguments)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=checkout
        )

    def step(self) -> float:
        """Return the seconds of one step."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def end(self) -> None:
        """End the process."""
        self._process.communicate(timeout=60)


def measure(settings: Settings) -> list[dict[str, Any]]:
    """Return seconds of a step for each number of ticks and threads, and how many times faster this checkout is."""
    here, rows = Path(__file__).resolve().parents[1], []
    for threads in settings.threads:
        for ticks in settings.ticks:
            arguments = (settings.task, ticks, threads)
            steppers = {
                "other": Stepper(settings.other.resolve(), "0", *arguments),
                "eager": Stepper(here, "0", *arguments),
                "native": Stepper(here, "require", *arguments),
            }
            seconds: dict[str, list[float]] = {name: [] for name in steppers}
            for number in range(settings.rounds + 2):
                for name, stepper in steppers.items():
                    taken = stepper.step()
                    if number >= 2:
                        seconds[name].append(taken)
            for stepper in steppers.values():
                stepper.end()
            row: dict[str, Any] = {"threads": threads, "ticks": ticks}
            row |= {name: statistics.median(values) for name, values in seconds.items()}
            for name in ("eager", "native"):
                row[f"other_over_{name}"] = statistics.median(
                    other / own for other, own in zip(seconds["other"], seconds[name], strict=True)
                )
            print(json.dumps(row), flush=True)
            rows.append(row)
    return rows


def main() -> None:
    """Run the command."""
    settings = tyro.cli(Settings, description=__doc__)
    rows = measure(settings)
    commit = subprocess.run(
        ["git", "-C", str(settings.other), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    told = {"task": settings.task, "rounds": settings.rounds, "other": commit.stdout.strip(), "rows": rows}
    save("against", {**told, "environment": describe_environment()}, settings.out)


if __name__ == "__main__":
    main()

"""Time the native loop over ticks against the eager one and against CTM.

``python benchmarks/native.py --threads 1 2 --out FILE.json`` measures, for each number of threads and of ticks,
alternating in one run, medians over rounds:

- **step**: a whole training step (:meth:`tide.train.step.Trainer.step`) on random images, native and eager;
- **recurrent**: forward, loss and backward with the tokens given, so without backbone and optimiser: TIDE native and
  eager, and CTM of the same task, whose loop is eager;
- **inference**: images per second of :meth:`tide.models.thinker.Thinker.predict`, with and without halting, native and
  eager. Without ``--model``, a trained run, weights and images are random, and the threshold is drawn such that images
  end at different ticks. ``saved`` is the share of the skipped ticks' time that halting really saves: 1 would be a tick
  that costs nothing for an image that has its answer.

``TIDE_NATIVE`` chooses the loop, in this process.
"""

from __future__ import annotations

import json
import os
import shlex
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import tyro
from reporting import save
from torch import Tensor

from tide.config import Config
from tide.device import set_threads
from tide.losses import objective
from tide.models.presets import preset
from tide.models.thinker import Thinker
from tide.native.choice import VARIABLE
from tide.runs.folder import describe_environment
from tide.train.step import alternate, step_on_random_images
from tide.train.supervised import resolved

CPU = torch.device("cpu")
FAIRNESS = "CTM/TIDE native compares an optimised loop with an eager one; CTM/TIDE eager compares two eager loops"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Measure the native loop over ticks."""

    task: str = "mnist"
    ticks: tuple[int, ...] = (50, 25)
    threads: tuple[int, ...] = (1, 2)
    rounds: int = 9
    """Timed rounds, after two others."""
    batch: int | None = None
    """Images in a training step; the preset's where not given."""
    inference: tuple[int, ...] = (500, 64)
    """Images in a call to predict."""
    halt: float | None = None
    """Certainty at which an image stops; drawn where not given."""
    model: Path | None = None
    """Folder of a trained model of the task."""
    out: Path | None = None
    """JSON file to write."""


def on(loop: str, function: Callable[[], object]) -> Callable[[], None]:
    """Return ``function`` on the native or the eager loop."""

    def run() -> None:
        os.environ[VARIABLE] = "require" if loop == "native" else "0"
        function()

    return run


def times(functions: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Return seconds per round of each function; all take turns."""
    return dict(zip(functions, alternate(list(functions.values()), rounds, CPU, warmup=2), strict=True))


def compared(seconds: dict[str, list[float]], pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Return medians in seconds, and medians over rounds of the ratios slow / fast."""
    found = {name: statistics.median(values) for name, values in seconds.items()}
    for slow, fast in pairs:
        ratios = [a / b for a, b in zip(seconds[slow], seconds[fast], strict=True)]
        found[f"{slow} / {fast}"] = statistics.median(ratios)
    return found


def config_of(settings: Settings, ticks: int, kind: str = "") -> Config:
    """Return the resolved settings of TIDE (or ``ctm.``) for a task."""
    train = {} if settings.batch is None else {"batch": settings.batch}
    return resolved(preset(kind + settings.task, core={"ticks": ticks}, train=train))


def step(settings: Settings, ticks: int) -> dict[str, float]:
    """Time whole training steps."""
    functions = {
        loop: on(loop, step_on_random_images(config_of(settings, ticks), CPU)[1]) for loop in ("eager", "native")
    }
    return compared(times(functions, settings.rounds), [("eager", "native")])


def recurrent(settings: Settings, ticks: int) -> dict[str, float]:
    """Time the recurrent part alone."""

    def part(config: Config) -> Callable[[], None]:
        model = Thinker(config.model).train()
        with torch.no_grad():
            shape = config.images
            images = torch.rand(config.train.batch, shape.channels, shape.size, shape.size)
            tokens = model.backbone(images)
        tokens.requires_grad_()
        labels = torch.arange(len(images)) % model.config.output.classes
        vars(model)["_tokens"] = lambda _: tokens

        def run() -> None:
            model.zero_grad()
            tokens.grad = None
            terms = objective(model(images), labels, model.cell.blocks(), config.loss, curriculum=1.0)
            terms.total.backward()

        return run

    tide, ctm = (part(config_of(settings, ticks, kind)) for kind in ("", "ctm."))
    functions = {"eager": on("eager", tide), "native": on("native", tide), "ctm": on("eager", ctm)}
    return compared(times(functions, settings.rounds), [("eager", "native"), ("ctm", "native"), ("ctm", "eager")])


def inference(settings: Settings, ticks: int, batch: int) -> dict[str, Any]:
    """Time answers with and without halting."""
    if settings.model is not None:
        model: Thinker = Thinker.from_pretrained(str(settings.model))
    else:
        model = Thinker(config_of(settings, ticks).model).eval()
    shape = model.config.images
    contrast = torch.linspace(0, 1, batch)[:, None, None, None]
    images = contrast * torch.rand(batch, shape.channels, shape.size, shape.size)
    halt = settings.halt if settings.halt is not None else drawn_threshold(model, images, ticks)
    calls: dict[str, Callable[[], object]] = {
        "begin": lambda: model.begin(images),
        "all ticks": lambda: model.predict(images, ticks=ticks),
        "halting": lambda: model.predict(images, ticks=ticks, halt=halt),
    }
    functions = {
        f"{loop}, {name}": on(loop, torch.no_grad()(call))
        for loop in ("eager", "native")
        for name, call in calls.items()
    }
    seconds = times(functions, settings.rounds)
    skipped = 1 - model.predict(images, ticks=ticks, halt=halt).ticks.double().mean().item() / ticks
    names = ("all ticks", "halting")
    found: dict[str, Any] = compared(seconds, [(f"eager, {name}", f"native, {name}") for name in names])
    found |= {"threshold": halt, "skipped": skipped}
    for loop in ("eager", "native"):
        begin, full, halted = (found[f"{loop}, {name}"] for name in ("begin", *names))
        found[f"{loop}, images per second"] = {name: batch / found[f"{loop}, {name}"] for name in names}
        found[f"{loop}, saved"] = (full - halted) / (skipped * (full - begin)) if skipped > 0 else None
    return found


@torch.no_grad()
def drawn_threshold(model: Thinker, images: Tensor, ticks: int) -> float:
    """Return a certainty that images reach at different ticks, about half of them before the middle."""
    certainty = model(images, ticks=ticks).certainty
    return float(certainty[:, : ticks // 2].amax(1).median())


def measure(settings: Settings) -> dict[str, Any]:
    """Return all that was asked for."""
    results = []
    for threads in settings.threads:
        set_threads(threads)
        for ticks in settings.ticks:
            parts = {"step": step(settings, ticks), "recurrent": recurrent(settings, ticks)}
            answers = {str(batch): inference(settings, ticks, batch) for batch in settings.inference}
            results.append({"threads": threads, "ticks": ticks, **parts, "inference": answers})
    return {
        "settings": {name: value for name, value in asdict(settings).items() if name not in ("out", "model")},
        "trained": settings.model is not None,
        "results": results,
        "note": FAIRNESS,
        "date": datetime.now(UTC).date().isoformat(),
        "command": shlex.join(["python", *sys.argv]),
        "environment": describe_environment(),
    }


def main() -> None:
    """Measure, print, write."""
    settings = tyro.cli(Settings, description=__doc__)
    result = measure(settings)
    print(json.dumps(result, indent=2))
    print(FAIRNESS, file=sys.stderr)
    save("native", result, settings.out)


if __name__ == "__main__":
    main()

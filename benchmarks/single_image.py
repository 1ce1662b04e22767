"""Time one image through all ticks: torch tick by tick, torch with the native loop, onnxruntime on the exported graphs.

``python benchmarks/single_image.py --model pretrained:mnist --out FILE.json`` runs each way in turn, round after round,
on the same image, and checks that all give the same certainty. Medians in milliseconds, and how many times as fast as
eager torch, median over rounds.
"""

from __future__ import annotations

import json
import os
import shlex
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from reporting import save

from tide.device import set_threads
from tide.export.onnx import write_folder
from tide.models.load import load
from tide.models.thinker import Thinker
from tide.runs.folder import describe_environment
from tide.train.step import alternate

WITHIN = 1e-5  # certainties of the three ways


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Compare the latency of one image."""

    model: str = "pretrained:mnist"
    threads: int = 1
    rounds: int = 40
    """Timed rounds, after five others."""
    out: Path | None = None
    """JSON file to write."""


@contextmanager
def native(value: str) -> Iterator[None]:
    """Set TIDE_NATIVE for a while."""
    before = os.environ.get("TIDE_NATIVE")
    os.environ["TIDE_NATIVE"] = value
    try:
        yield
    finally:
        os.environ.pop("TIDE_NATIVE")
        if before is not None:
            os.environ["TIDE_NATIVE"] = before


def exported(model: Thinker, folder: Path, threads: int) -> Callable[[np.ndarray[Any, Any]], float]:
    """Return a function from one image to its highest certainty, by onnxruntime."""
    import onnxruntime

    write_folder(model, folder)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    graphs = {
        name: onnxruntime.InferenceSession(folder / f"{name}.onnx", options, providers=["CPUExecutionProvider"])
        for name in ("begin", "tick", "whole")
    }
    takes = {name: [value.name for value in graph.get_inputs()] for name, graph in graphs.items()}
    # Only what goes on: every recorded quantity that is asked for would be copied out.
    needed = {*takes["tick"], *takes["whole"], "certainty", "logits"}
    gives = {
        name: [value.name for value in graph.get_outputs() if value.name.removeprefix("next_") in needed]
        for name, graph in graphs.items()
    }

    def think(image: np.ndarray[Any, Any]) -> float:
        values: dict[str, Any] = {"images": image}
        values |= zip(gives["begin"], graphs["begin"].run(gives["begin"], values), strict=True)
        seen: dict[str, list[Any]] = {name: [] for name in takes["whole"]}
        for _ in range(model.config.core.ticks):
            made = graphs["tick"].run(gives["tick"], {wanted: values[wanted] for wanted in takes["tick"]})
            values |= {key.removeprefix("next_"): value for key, value in zip(gives["tick"], made, strict=True)}
            for name, steps in seen.items():
                steps.append(values[name])
        stacked = {name: np.stack(steps, 1) for name, steps in seen.items()}
        _, certainty = graphs["whole"].run(["logits", "certainty"], stacked)
        return float(certainty.max())

    return think


def measure(settings: Settings) -> dict[str, Any]:
    """Return milliseconds of each way and how many times as fast as eager torch it is."""
    set_threads(settings.threads)
    model = load(settings.model)
    images = model.config.images
    image = torch.rand(1, images.channels, images.size, images.size, generator=torch.Generator().manual_seed(0))
    answers: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        by_onnx = exported(model, Path(folder), settings.threads)

        def eager() -> None:
            with native("0"):
                answers["eager"] = float(model.predict(image).certainty)

        def compiled() -> None:
            with native(""):
                answers["native"] = float(model.predict(image).certainty)

        def onnx() -> None:
            answers["onnxruntime"] = by_onnx(image.numpy())

        ways = {"eager": eager, "native": compiled, "onnxruntime": onnx}
        times = alternate(list(ways.values()), settings.rounds, torch.device("cpu"), warmup=5)
    assert max(answers.values()) - min(answers.values()) < WITHIN, answers
    seconds = dict(zip(ways, times, strict=True))
    return {
        "model": settings.model,
        "ticks": model.config.core.ticks,
        "threads": settings.threads,
        "rounds": settings.rounds,
        "native": model.tick_loop().reason,
        "ways": {
            name: {
                "milliseconds_median": 1000 * statistics.median(seconds[name]),
                "milliseconds_least": 1000 * min(seconds[name]),
                "times_as_fast_as_eager": statistics.median(
                    slow / mine for slow, mine in zip(seconds["eager"], seconds[name], strict=True)
                ),
            }
            for name in ways
        },
        "date": datetime.now(UTC).date().isoformat(),
        "command": shlex.join(["python", *sys.argv]),
        "environment": describe_environment(),
    }


def main() -> None:
    """Measure, print, write."""
    settings = tyro.cli(Settings, description=__doc__)
    result = measure(settings)
    print(json.dumps(result, indent=2))
    save("single_image", result, settings.out)


if __name__ == "__main__":
    main()

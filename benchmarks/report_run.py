"""Publish a finished run: ``python benchmarks/report_run.py RUN --out results/TASK/NAME``.

Writes NAME.json (command, commit, hardware, seed, settings, accuracy, what the memory did) and NAME.png (the curves of
the training). The test accuracy is measured again from the checkpoint, once as it is and once with the memory's
read-out zeroed: the columns of the head's first layer that read the memory are set to zero.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import torch

from tide.config.io import to_dict
from tide.evaluate.answers import Evaluation, evaluate
from tide.models.thinker import Thinker
from tide.plots.training import draw_training
from tide.runs import reopen
from tide.runs.folder import RunFolder

MEMORY_QUANTITIES = (
    "surprise",
    "gate",
    "gradient_memory_projection",
    "gradient_memory_reconstruction",
    "gradient_memory_gate",
    "gradient_head",
)


@torch.no_grad()
def zero_memory_readout(model: Thinker) -> Thinker:
    """Cut what the output head reads of the memory, in place."""
    first = next(layer for layer in model.cell.head.layers if isinstance(layer, torch.nn.Linear))
    first.weight[:, -model.config.core.memory.width :] = 0
    return model


def report(run: Path, data_dir: Path | None) -> dict[str, object]:
    """Collect the numbers of a run."""
    folder = RunFolder.open(run)
    config, environment = folder.config, folder.environment
    results = folder.results()
    monitor, evaluations = folder.metrics("monitor"), folder.metrics("evaluation")
    model, data = reopen(run, checkpoint="last", data_dir=data_dir)
    whole = evaluate(model, data.test)
    without: Evaluation = evaluate(zero_memory_readout(model), data.test)
    return {
        "command": environment["command"],
        "commit": environment["commit"],
        "libraries": environment["libraries"],
        "hardware": environment["processor"],
        "threads": environment["threads"],
        "seed": config.seed,
        "training_seconds": results["seconds"],
        "parameters": sum(p.numel() for p in model.parameters()),
        "best_accuracy": max(line["accuracy"] for line in evaluations),
        "last": asdict(whole),
        "evaluations": [{k: line[k] for k in ("step", "accuracy", "accuracy_last_tick")} for line in evaluations],
        "rejected_steps": results["rejected"],
        "alarms": [f"step {line['step']}: {text}" for line in monitor for text in line["alarms"]],
        "memory": {
            "accuracy_with_readout_zeroed": without.accuracy,
            "loss_with_readout_zeroed": without.loss,
            "step": [line["step"] for line in monitor],
            **{name: [line[name] for line in monitor] for name in MEMORY_QUANTITIES},
        },
        "settings": to_dict(config),
    }


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="path without extension")
    parser.add_argument("--data-dir", type=Path)
    given = parser.parse_args()
    numbers = report(given.run, given.data_dir)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.with_suffix(".json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    draw_training(given.run).savefig(given.out.with_suffix(".png"), dpi=80)
    print(json.dumps({key: numbers[key] for key in ("command", "best_accuracy", "training_seconds")}, indent=1))


if __name__ == "__main__":
    main()

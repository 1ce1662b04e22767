"""What was learned of the drawn tasks, step by step: ``python benchmarks/tasks.py RUN... --out results/tasks/NAME``.

Reads the evaluations that the runs wrote on their fixed test sets; a run that has not ended is reported as far as it
went. The best checkpoint then thinks ten times as long as it was trained to. Runs of one preset and several seeds are
one row. Writes NAME.json, NAME.md and NAME.png.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from matplotlib.figure import Figure
from reporting import COLOURS, check_names, origin, publish

from tide.data import read_splits
from tide.evaluate.thinking import think_longer
from tide.models.load import load
from tide.models.presets import model_name
from tide.models.task_presets import extent
from tide.runs.folder import RunFolder

LONGER = 10  # times the ticks trained with


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Read what was learned of drawn tasks."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders, complete or not."""
    out: Path
    """Path without extension."""


def read(path: Path) -> dict[str, Any]:
    """Return the evaluations of a run: shares of positions and of whole answers that are right."""
    run = RunFolder.open(path)
    config, evaluations = run.config, run.metrics("evaluation")
    name, size = extent(config)
    longer = think_longer(load(path), read_splits(config).test, factor=LONGER)
    best = max(evaluations, key=lambda line: float(line["accuracy"]))
    return {
        "task": f"{name}, {size}",
        "model": model_name(config),
        "seed": config.seed,
        "steps": config.train.steps,
        "step": evaluations[-1]["step"],
        "ticks": config.core.ticks,
        "batch": config.train.batch,
        "best": {key: best.get(key) for key in ("step", "accuracy", "whole_accuracy")},
        "last": {
            key: evaluations[-1].get(key)
            for key in ("accuracy", "whole_accuracy", "accuracy_last_tick", "hedging", "accuracy_per_tick")
        },
        "curve": [[line["step"], line["accuracy"], line.get("whole_accuracy")] for line in evaluations],
        "longer": asdict(longer),
        "seconds": run.timing()[-1]["seconds"],
    }


def markdown(result: Mapping[str, Any]) -> str:
    """Return a row for each task and model, the mean over seeds, and in brackets each where there are several."""
    runs = result["runs"]
    lines = [
        "Fixed test sets of 1,000 samples, at the most certain tick (a list: what is emitted); the mean over seeds, in "
        "brackets each.",
        "",
        "| task | model | seeds | steps | right positions, % | right as a whole, % | at the last tick, % | thinking "
        f"{LONGER} times as long: most certain, last, % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for task, model in dict.fromkeys((run["task"], run["model"]) for run in runs):
        group = [run for run in runs if (run["task"], run["model"]) == (task, model)]
        done = [f"{run['step']:,}" + f" of {run['steps']:,}" * (run["step"] < run["steps"]) for run in group]
        steps = ", ".join(dict.fromkeys(done))
        last = [run["last"] for run in group]
        columns = [
            _several([part["accuracy"] for part in last]),
            _several([part["whole_accuracy"] for part in last]),
            _several([part["accuracy_last_tick"] for part in last]),
            ", ".join(
                _several([run["longer"][name][-1] for run in group]) for name in ("most_certain_so_far", "fixed_tick")
            ),
        ]
        lines.append(f"| {task} | {model} | {len(group)} | {steps} | {' | '.join(columns)} |")
    return "\n".join(lines) + "\n"


def _several(values: Sequence[float | None]) -> str:
    known = [100 * value for value in values if value is not None]
    if not known:
        return "-"
    mean = f"{statistics.fmean(known):.1f}"
    return mean if len(known) == 1 else f"{mean} ({', '.join(f'{value:.1f}' for value in known)})"


def draw(result: Mapping[str, Any]) -> Figure:
    """Draw the learning curves above, and below the accuracy over the ticks, also those beyond the trained ones."""
    runs = result["runs"]
    tasks = list(dict.fromkeys(run["task"] for run in runs))
    figure = Figure(figsize=(1.5 + 3.6 * len(tasks), 6.4), layout="constrained")
    panels = figure.subplots(2, len(tasks), squeeze=False)
    for column, task in enumerate(tasks):
        curves, ticks = panels[:, column]
        named = set()
        for run in (run for run in runs if run["task"] == task):
            colour, label = COLOURS.get(run["model"], "0.4"), run["model"] if run["model"] not in named else None
            named.add(run["model"])
            steps, right, whole = zip(*run["curve"], strict=True)
            curves.plot(steps, [100 * value for value in right], color=colour, label=label)
            if whole[0] is not None:
                curves.plot(steps, [100 * value for value in whole], color=colour, linestyle=":")
            over = [100 * value for value in run["longer"]["fixed_tick"]]
            ticks.plot(range(1, len(over) + 1), over, color=colour)
            ticks.axvline(run["longer"]["trained_ticks"], color="0.8", linewidth=1, zorder=0)
        curves.set_title(task)
        curves.set_xlabel("step")
        ticks.set_xlabel("tick")
        curves.legend(fontsize=8)
        for axes in (curves, ticks):
            axes.grid(alpha=0.3)
    panels[0, 0].set_ylabel("right positions (dotted: whole), %")
    panels[1, 0].set_ylabel("right positions at each tick, %\n(line: ticks trained with)")
    return figure


def report(settings: Settings) -> dict[str, Any]:
    """Return what all runs say."""
    check_names(settings.runs)
    return {**origin(settings.runs), "runs": [read(path) for path in settings.runs]}


def main() -> None:
    """Run the command."""
    settings = tyro.cli(Settings, description=__doc__)
    publish("tasks", settings.out, lambda: report(settings), markdown, draw)


if __name__ == "__main__":
    main()

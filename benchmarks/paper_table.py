"""The small rows of the paper's Table 1 in full length, on few ticks: ``python benchmarks/paper_table.py``.

The paper's study of the number of ticks (its Table 2 v) gives at T = 10 what Table 1 gives at T = 50, so ten ticks are
what a laptop can train in full. A row is a run of its own; one that has begun is continued, and reported so far.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import tyro
from matplotlib.figure import Figure
from reporting import end, origin

from tide.config import Config
from tide.config.io import from_dict
from tide.device import DeviceName
from tide.errors import ConfigError, InputError, did_you_mean
from tide.files import number, percent, table
from tide.models.presets import MODELS, TASKS
from tide.plots.training import draw_training
from tide.runs.folder import RunFolder
from tide.studies.publish import save_study
from tide.studies.runner import State, Trial, finish, last_timing, make_runner
from tide.train.supervised import resolved

TEN = {"core": {"ticks": 10, "neuron_models": {"memory_length": 10}}}
TWENTY_FIVE = {"core": {"ticks": 25, "neuron_models": {"memory_length": 15}}}
CIFAR = {**TEN, "train": {"batch": 64, "steps": 20_000}}


@dataclass(frozen=True)
class Published:
    """What the paper gives, in percent: best and final test accuracy (None: not given) after so many steps."""

    best: float
    final: float | None
    steps: int
    where: str


TICKS_STUDY = {
    ("mnist", 10): Published(99.58, 99.54, 50_000, "Table 2 (v), T = 10"),
    ("fashion-mnist", 10): Published(94.17, 94.00, 50_000, "Table 2 (v), T = 10"),
    ("fashion-mnist", 25): Published(93.90, 93.86, 50_000, "Table 2 (v), T = 25"),
    ("cifar10", 10): Published(90.57, 90.48, 600_000, "Table 1, T = 50, mean of seeds"),
}
CTM_ROWS = {
    "mnist": Published(99.59, None, 200_000, "Table 1, CTM"),
    "fashion-mnist": Published(92.80, None, 200_000, "Table 1, CTM"),
    "cifar10": Published(86.16, None, 600_000, "Table 1, CTM"),
}


@dataclass(frozen=True)
class Row:
    """One run: the task, the model by its name in :data:`tide.models.presets.MODELS`, TIDE's changes, the seed."""

    task: str
    model: str
    changes: Mapping[str, Any]
    seed: int = 42

    @property
    def name(self) -> str:
        """The run's name: task, model, ticks, seed."""
        return f"{self.task}-{self.model}-T{self.changes['core']['ticks']}-{self.seed}"

    @property
    def published(self) -> Published:
        """The paper's numbers for it."""
        if self.model.endswith("ctm"):
            return CTM_ROWS[self.task]
        return TICKS_STUDY[self.task, self.changes["core"]["ticks"]]

    def trial(self, steps: int | None) -> Trial:
        """Return the run as a trial; ``steps`` shortens it."""
        base = from_dict(Config, self.changes, base=TASKS[self.task]())
        if steps is not None:
            base = replace(base, train=replace(base.train, steps=steps))
        return Trial(self.name, replace(resolved(MODELS[self.model](base)), seed=self.seed))


ROWS: Sequence[Row] = (
    Row("fashion-mnist", "tide", TEN),
    Row("fashion-mnist", "anytime", TEN),
    Row("mnist", "tide", TEN),
    Row("mnist", "anytime", TEN),
    Row("fashion-mnist", "ctm", TEN),
    Row("mnist", "ctm", TEN),
    Row("fashion-mnist", "tide", TEN, seed=43),
    Row("fashion-mnist", "tide", TWENTY_FIVE),
    Row("cifar10", "tide", CIFAR),
    Row("cifar10", "ctm", CIFAR),
)
"""In the order in which they are run."""


def rows_named(names: Sequence[str]) -> list[Row]:
    """Return the rows of these names, in their order, all where there are none; raises :class:`ConfigError`."""
    known = {row.name: row for row in ROWS}
    for name in names:
        if name not in known:
            raise ConfigError(f"unknown row {name!r}{did_you_mean(name, known)}")
    return [known[name] for name in names] if names else list(ROWS)


def rows_so_far(rows: Sequence[Row], steps: int | None, out: Path) -> dict[str, Any]:
    """Return what the runs in ``out`` say so far, as plain data; rows that have not begun are left out."""
    rows_begun: dict[str, Any] = {}
    for row in rows:
        trial = row.trial(steps)
        if trial.state(out) is not State.NEW:
            rows_begun[row.name] = _reading(row, trial, RunFolder.open(trial.folder(out)))
    return {"rows": rows_begun}


def _reading(row: Row, trial: Trial, run: RunFolder) -> dict[str, Any]:
    train, evaluations = run.metrics("train"), run.metrics("evaluation")
    limit = trial.config.train.clip.total
    best = max(evaluations, key=lambda line: float(line["accuracy"]), default=None)
    return {
        "task": row.task,
        "model": row.model,
        "ticks": trial.config.core.ticks,
        "seed": row.seed,
        "steps": trial.config.train.steps,
        "step": int(train[-1]["step"]) if train else 0,
        "best": best["accuracy"] if best else None,
        "best_step": best["step"] if best else None,
        "final": evaluations[-1]["accuracy"] if evaluations else None,
        "final_last_tick": evaluations[-1]["accuracy_last_tick"] if evaluations else None,
        "hedging": evaluations[-1]["hedging"] if evaluations else None,
        "clipped": sum(line["gradient_norm"] > limit for line in train) / len(train) if train and limit else None,
        "rejected": int(train[-1]["rejected"]) if train else 0,
        "curve": [[line["step"], line["accuracy"], line["accuracy_last_tick"]] for line in evaluations],
        "published": vars(row.published),
        "commit": run.environment.get("commit"),
        "processor": run.environment.get("processor"),
    }


def first_reaching(curve: Sequence[Sequence[float]], accuracy: float) -> int | None:
    """Return the first step of a curve of (step, accuracy, ...) with at least this accuracy."""
    return next((int(point[0]) for point in curve if point[1] >= accuracy), None)


COLUMNS = (
    *("run", "steps", "best", "final", "final, last tick", "hedging, points", "clipped steps, %"),
    "the paper: best / final (steps, where)",
)


def markdown(result: Mapping[str, Any]) -> str:
    """Return the table as Markdown, and below it how soon TIDE is where CTM ended."""
    lines = [
        "Test accuracy in %. Best and final are at the most certain tick, as the paper gives them; the best is the "
        "best evaluation, chosen on the test split as in the paper.",
        "",
        *table(COLUMNS, (_line(name, row) for name, row in result["rows"].items())),
    ]
    reached = [line for task in TASKS if (line := _against_ctm(task, result["rows"])) is not None]
    return "\n".join([*lines, *([""] if reached else []), *reached]) + "\n"


def _line(name: str, row: Mapping[str, Any]) -> list[str]:
    paper = row["published"]
    steps = f"{row['step']:,}" + ("" if row["step"] == row["steps"] else f" of {row['steps']:,}")
    shares = [percent(row[key]) for key in ("best", "final", "final_last_tick", "hedging", "clipped")]
    published = f"{paper['best']:.2f} / {number(paper['final'])} ({paper['steps']:,}, {paper['where']})"
    return [name, steps, *shares, published]


def _against_ctm(task: str, rows: Mapping[str, Any]) -> str | None:
    """Say after how many steps TIDE has what CTM has at its end; None without two whole runs."""
    whole = [row for row in rows.values() if row["task"] == task and row["step"] == row["steps"]]
    ctm = next((row for row in whole if row["model"] == "ctm"), None)
    others = [row for row in whole if row["model"] != "ctm"]
    if ctm is None or not others:
        return None
    texts = []
    for row in others:
        step = first_reaching(row["curve"], ctm["final"])
        texts.append(f"{row['model']} (T = {row['ticks']}, seed {row['seed']}) " + (f"{step:,}" if step else "never"))
    return f"Steps to CTM's final {100 * ctm['final']:.2f} % on {task} ({ctm['steps']:,} steps): {'; '.join(texts)}."


def draw(result: Mapping[str, Any]) -> Figure:
    """Draw test accuracy over steps of what :func:`table` returns, a panel for each data set."""
    rows = {name: row for name, row in result["rows"].items() if row["curve"]}
    tasks = list(dict.fromkeys(row["task"] for row in rows.values())) or [""]
    figure = Figure(figsize=(6.5 * len(tasks), 4.6), layout="constrained")
    for axes, task in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks, strict=True):
        ends = []
        for place, row in enumerate(row for row in rows.values() if row["task"] == task):
            steps, certain, last = zip(*row["curve"], strict=True)
            reached = f"{100 * certain[-1]:.2f} %, last tick {100 * last[-1]:.2f} %"
            label = f"{row['model']}, T = {row['ticks']}, seed {row['seed']}: {reached}"
            axes.plot(steps, [100 * value for value in certain], color=f"C{place}", linewidth=1.3, label=label)
            axes.plot(steps, [100 * value for value in last], color=f"C{place}", linewidth=0.8, linestyle=":")
            axes.axhline(row["published"]["best"], color=f"C{place}", linewidth=0.6, linestyle="--")
            ends += [100 * certain[-1], row["published"]["best"]]
        if ends:
            spread = 1.5 * max(1.0, 100 - min(ends))
            axes.set_ylim(min(ends) - spread, min(100.0, max(ends) + spread / 10))
            axes.legend(fontsize=8, loc="lower right")
        axes.set(xlabel="step", ylabel="test accuracy, %")
        axes.set_title(f"{task}\nfull: most certain tick; dotted: last tick; dashed: the paper's best", fontsize=9)
        axes.grid(alpha=0.3)
    return figure


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Train, continue and report the rows; stop whenever you like, and the same command goes on."""

    rows: tuple[str, ...] = ()
    """Only these runs, in this order (none: all; --list names them)."""
    list: bool = False
    """Name the runs and how far each is, and stop."""
    report: bool = False
    """Report what is there without training."""
    steps: int | None = None
    """Optimiser steps of each run in place of the paper's."""
    out: Path = Path("runs/paper-table")
    """Folder of the runs, JSON, Markdown and pictures."""
    data_dir: Path | None = None
    """Folder of the data sets (none: $TIDE_DATA, else a cache folder of the user's)."""
    jobs: int | None = None
    """Runs side by side (none: one per core on the CPU, else one)."""
    device: DeviceName = "auto"
    """Device to train on."""


def run(settings: Settings) -> int:
    """Do what the settings say; return the exit code: 0, 2 where runs failed, 130 where a signal stopped them."""
    rows = rows_named(settings.rows)
    trials = [row.trial(settings.steps) for row in rows]
    if settings.list:
        for trial in trials:
            step = last_timing(trial.folder(settings.out))[0]
            print(f"{trial.name:<28} {step:>7,} of {trial.config.train.steps:,} steps")
        return 0
    outcome = None
    if not settings.report:
        outcome = make_runner(settings.out, settings.jobs, settings.device, settings.data_dir).run(trials)
    result = {**rows_so_far(rows, settings.steps, settings.out), "command": origin([])["command"]}
    if not result["rows"]:
        raise InputError(f"{settings.out} must hold a run for a report; leave --report out to train")
    curves = [name for name, row in result["rows"].items() if row["curve"]]
    figures = {f"{name}.png": partial(draw_training, settings.out / name) for name in curves}
    text = markdown(result)
    save_study(settings.out, "paper-table", result, text, {"paper-table.png": partial(draw, result), **figures})
    print(text, end="")
    return finish(outcome, settings.out, "benchmarks/paper_table.py") if outcome is not None else 0


if __name__ == "__main__":
    try:
        sys.exit(run(tyro.cli(Settings, description=__doc__)))
    except InputError as error:
        end("paper_table", error)

"""The small rows of the paper's Table 1 at the length that it trained, on few ticks, beside its numbers.

The paper's study of the number of ticks (its Table 2 v) gives at T = 10 what Table 1 gives at T = 50, so ten ticks are
what a laptop can train in full. A row is a run of its own; one that has begun is continued, and reported so far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tide.config import Config
from tide.config.io import from_dict
from tide.errors import ConfigError, did_you_mean
from tide.models.presets import MODELS, TASKS
from tide.runs.folder import RunFolder
from tide.studies.runner import State, Trial
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


def table(rows: Sequence[Row], steps: int | None, out: Path) -> dict[str, Any]:
    """Return what the runs in ``out`` say so far, as plain data; rows that have not begun are left out."""
    found: dict[str, Any] = {}
    for row in rows:
        trial = row.trial(steps)
        if trial.state(out) is not State.NEW:
            found[row.name] = _reading(row, trial, RunFolder.open(trial.folder(out)))
    return {"rows": found}


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


def markdown(result: Mapping[str, Any]) -> str:
    """Return the table as Markdown, and below it how soon TIDE is where CTM ended."""
    rows = result["rows"]
    lines = [
        "Test accuracy in %. Best and final are at the most certain tick, as the paper gives them; the best is the "
        "best evaluation, chosen on the test split as in the paper.",
        "",
        "| run | steps | best | final | final, last tick | hedging, points | clipped steps, % | the paper: best / "
        "final (steps, where) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        paper = row["published"]
        final = "-" if paper["final"] is None else f"{paper['final']:.2f}"
        steps = f"{row['step']:,}" + ("" if row["step"] == row["steps"] else f" of {row['steps']:,}")
        shares = [_percent(row[key]) for key in ("best", "final", "final_last_tick", "hedging", "clipped")]
        lines.append(
            f"| {name} | {steps} | {' | '.join(shares)} | {paper['best']:.2f} / {final} ({paper['steps']:,}, "
            f"{paper['where']}) |"
        )
    reached = [line for task in TASKS if (line := _against_ctm(task, rows)) is not None]
    return "\n".join([*lines, *([""] if reached else []), *reached]) + "\n"


def _against_ctm(task: str, rows: Mapping[str, Any]) -> str | None:
    """Say after how many steps TIDE has what CTM has at its end; None without two whole runs."""
    whole = [row for row in rows.values() if row["task"] == task and row["step"] == row["steps"]]
    ctm = next((row for row in whole if row["model"] == "ctm"), None)
    others = [row for row in whole if row["model"] != "ctm"]
    if ctm is None or not others:
        return None
    told = []
    for row in others:
        step = first_reaching(row["curve"], ctm["final"])
        told.append(f"{row['model']} (T = {row['ticks']}, seed {row['seed']}) " + (f"{step:,}" if step else "never"))
    return f"Steps to CTM's final {100 * ctm['final']:.2f} % on {task} ({ctm['steps']:,} steps): {'; '.join(told)}."


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"

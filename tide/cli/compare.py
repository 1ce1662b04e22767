"""``tide compare``: train several models on one task under equal conditions, and put them side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from tide.cli.device import DeviceName
from tide.cli.parse import parse
from tide.errors import InputError

if TYPE_CHECKING:
    from tide.studies.facts import RunFacts


@dataclass(frozen=True, kw_only=True)
class CompareArguments:
    """Options of a comparison. What is not given comes from TIDE's preset for the task."""

    task: Annotated[str | None, tyro.conf.Positional] = None
    """digits, mnist, fashion-mnist, cifar10 or cifar100."""
    models: tuple[str, ...] = ("tide", "ctm", "lstm")
    """Models to train: tide, ctm, lstm."""
    seeds: tuple[int, ...] = (42, 43, 44)
    """Seeds of weights, data order, augmentation and dropout."""
    steps: int | None = None
    """Optimiser steps of each run."""
    ticks: int | None = None
    """Internal ticks T of every model."""
    memory_length: int | None = None
    """History M of the neuron-level models."""
    batch: int | None = None
    """Images per step."""
    file: Annotated[Path | None, tyro.conf.arg(name="config")] = None
    """YAML file of other changes of TIDE's settings; the baselines take over what they share."""
    runs: tuple[Path, ...] = ()
    """Compare these finished runs in place of training new ones."""
    reach: tuple[float, ...] = ()
    """Accuracies in percent whose first reaching is reported (default: three that suit the task)."""
    out: Path | None = None
    """Folder of the comparison: its runs, JSON, Markdown and pictures (default: runs/compare-TASK)."""
    data_dir: Path | None = None
    """Folder of the data sets (default: $TIDE_DATA, else a cache folder of the user's)."""
    jobs: int | None = None
    """Runs side by side (default: one per core on the CPU, else one)."""
    device: DeviceName = "auto"
    """Device to train on."""


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    given = parse(
        CompareArguments,
        arguments,
        prog="tide compare",
        description="Train several models on one task under equal conditions, and put them side by side.",
    )
    from tide.cli.studying import told

    command = told("compare", arguments)
    if given.runs:
        return _compare_runs(given, command)
    if given.task is None:
        raise InputError("no task given; name one (tide compare mnist), or finished runs with --runs")
    from tide.cli.studying import changes_of, finish, make_runner, read_facts
    from tide.studies.comparison import comparison_trials, task_config

    base = task_config(given.task, changes_of(given.ticks, given.memory_length, given.batch, given.file))
    trials = comparison_trials(base, given.models, given.seeds, given.steps or base.train.steps)
    out = given.out or Path("runs") / f"compare-{given.task}"
    outcome = make_runner(out, given.jobs, given.device, given.data_dir).run(trials)
    facts = read_facts(trials, outcome, out)
    runs = {model: [facts[name] for name in facts if name.startswith(f"{model}-")] for model in given.models}
    if facts and not outcome.stopped:
        _report({model: group for model, group in runs.items() if group}, out, given, command)
    return finish(outcome, out, "tide compare")


def _compare_runs(given: CompareArguments, command: str) -> int:
    """Compare runs that exist, grouped by the kind of their core."""
    from tide.studies.facts import RunFacts

    if given.task is not None:
        raise InputError(f"both a task ({given.task}) and --runs are given; leave one out")
    groups: dict[str, list[RunFacts]] = {}
    for path in given.runs:
        facts = RunFacts.read(path)
        groups.setdefault(facts.config.core.kind, []).append(facts)
    _report(groups, given.out or Path("runs") / "comparison", given, command)
    return 0


def _report(runs: dict[str, list[RunFacts]], out: Path, given: CompareArguments, command: str) -> None:
    from tide.cli.studying import save_study
    from tide.plots.comparison import draw_comparison
    from tide.studies.comparison import REACH
    from tide.studies.comparison_report import compare, markdown

    name = next(iter(runs.values()))[0].config.data.name
    result = compare(runs, [percent / 100 for percent in given.reach] or REACH.get(name, ()))
    result["command"] = command
    text = markdown(result)
    figures: dict[str, Any] = {
        "comparison.png": draw_comparison(result),
        "attention.png": _attention(runs, given.data_dir),
    }
    save_study(out, "comparison", result, text, figures)
    print(text, end="")
    print(f"\n{out}: comparison.json, comparison.md, comparison.png, attention.png")


def _attention(runs: dict[str, list[RunFacts]], data_dir: Path | None, count: int = 3) -> Any:
    """Let the first run of every model look at the same test images, the first of different classes."""
    import torch

    from tide.cli.models import load_with_data
    from tide.data import to_float
    from tide.heads import most_certain
    from tide.plots.comparison import Gaze, draw_attention

    loaded = {model: load_with_data(group[0].path, "last", directory=data_dir) for model, group in runs.items()}
    _, splits = next(iter(loaded.values()))
    test = splits.test
    chosen = [int((test.labels == label).nonzero()[0]) for label in range(min(count, len(test.classes)))]
    images, gazes = to_float(test.images[chosen]), []
    for index in range(len(chosen)):
        group = []
        for name, (model, _) in loaded.items():
            with torch.no_grad():
                out = model(images[index : index + 1], record="attention")
            attention = out.trace["attention"][0].mean(1)
            grid = int(attention.shape[1] ** 0.5)
            answer = test.classes[int(most_certain(out.logits, out.certainty).argmax())]
            group.append(Gaze(name, attention.reshape(-1, grid, grid).numpy(), answer))
        gazes.append(group)
    labels = [test.classes[int(test.labels[index])] for index in chosen]
    return draw_attention([image.permute(1, 2, 0).numpy() for image in images], labels, gazes)

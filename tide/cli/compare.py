"""``tide compare``: train several models on one task under equal conditions, and put them side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from tide.cli.parse import parse
from tide.cli.study_arguments import StudyArguments, check_steps
from tide.errors import InputError

if TYPE_CHECKING:
    from tide.runs.folder import RunFacts


@dataclass(frozen=True, kw_only=True)
class CompareArguments(StudyArguments):
    """Options of a comparison."""

    task: Annotated[str | None, tyro.conf.Positional] = None
    """The preset's name without a model, as mnist or parity.16."""
    models: tuple[str, ...] = ("tide", "ctm", "lstm")
    """Models to train: tide, ctm, lstm with the paper's objective; anytime (TIDE), anytime-ctm, anytime-lstm with the
    one that asks every tick."""
    seeds: tuple[int, ...] = (42, 43, 44)
    """Seeds of weights, data order, augmentation and dropout."""
    steps: int | None = None
    """Optimiser steps of each run."""
    runs: tuple[Path, ...] = ()
    """Compare these finished runs in place of training new ones."""
    reach: tuple[float, ...] = ()
    """Accuracies in percent whose first reaching is reported (none: three that suit the task)."""


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    given = parse(
        CompareArguments,
        arguments,
        prog="tide compare",
        description="Train several models on one task under equal conditions, and put them side by side.",
    )
    from tide.cli.studying import changes_of, finish, make_runner, read_facts
    from tide.studies.comparison import comparison_trials, task_config
    from tide.studies.publish import told

    command = told("compare", arguments)
    if given.runs:
        return _compare_runs(given, command)
    if given.task is None:
        raise InputError("no task given; name one (tide compare mnist), or finished runs with --runs")

    check_steps(given.steps)
    base = task_config(given.task, changes_of(given))
    trials = comparison_trials(base, given.models, given.seeds, given.steps or base.train.steps)
    out = given.out or Path("runs") / f"compare-{given.task}"
    outcome = make_runner(out, given).run(trials)
    facts = read_facts(trials, outcome, out)
    if facts and not outcome.stopped:
        _report(_by_model(facts.values()), out, given, command)
    return finish(outcome, out, "tide compare")


def _compare_runs(given: CompareArguments, command: str) -> int:
    """Compare runs that exist."""
    from tide.runs.folder import RunFacts

    if given.task is not None:
        raise InputError(f"both a task ({given.task}) and --runs are given; leave one out")
    runs = _by_model(RunFacts.read(path) for path in given.runs)
    _report(runs, given.out or Path("runs") / "comparison", given, command)
    return 0


def _by_model(facts: Iterable[RunFacts]) -> dict[str, list[RunFacts]]:
    """Group runs by their model, core and objective, in the order in which models first appear."""
    from tide.models.presets import model_name

    groups: dict[str, list[RunFacts]] = {}
    for run in facts:
        groups.setdefault(model_name(run.config), []).append(run)
    return groups


def _report(runs: dict[str, list[RunFacts]], out: Path, given: CompareArguments, command: str) -> None:
    from tide.plots.studies import draw_comparison
    from tide.studies.comparison import REACH, compare, markdown
    from tide.studies.publish import save_study

    name = next(iter(runs.values()))[0].config.data.name
    result = compare(runs, [percent / 100 for percent in given.reach] or REACH.get(name, ()))
    result["command"] = command
    text = markdown(result)
    figures: dict[str, Callable[[], Any]] = {
        "comparison.png": lambda: draw_comparison(result),
    }
    if next(iter(runs.values()))[0].config.classifies_images:
        figures["attention.png"] = lambda: _attention(runs, given.data_dir)
    save_study(out, "comparison", result, text, figures)
    print(text, end="")
    print(f"\n{out}: {', '.join(('comparison.json', 'comparison.md', *figures))}")


def _attention(runs: dict[str, list[RunFacts]], data_dir: Path | None, count: int = 3) -> Any:
    """Let the first run of every model look at the same test images, the first of different classes."""
    import torch

    from tide.data import to_float
    from tide.models.heads import most_certain
    from tide.plots.axes import attention_maps
    from tide.plots.studies import Gaze, draw_attention
    from tide.runs import reopen

    loaded = {model: reopen(group[0].path, checkpoint="last", data_dir=data_dir) for model, group in runs.items()}
    _, (_, test) = next(iter(loaded.values()))
    present = torch.unique(test.labels)[:count]  # a class may have no test image
    chosen = [int((test.labels == label).nonzero()[0]) for label in present]
    images, gazes = to_float(test.select(torch.tensor(chosen)).images), []
    for index in range(len(chosen)):
        group = []
        for name, (model, _) in loaded.items():
            attends = "attention" in tuple(model.cell.observables)
            with torch.no_grad():
                out = model(images[index : index + 1], record=("attention",) if attends else ())
            answer = test.classes[int(most_certain(out.logits, out.certainty).argmax())]
            group.append(Gaze(name, attention_maps(out.trace["attention"][0]) if attends else None, answer))
        gazes.append(group)
    labels = [test.classes[int(test.labels[index])] for index in chosen]
    return draw_attention([image.permute(1, 2, 0).numpy() for image in images], labels, gazes)

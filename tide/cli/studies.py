"""``tide compare`` and ``tide ablate``: many runs of one task, and what they say together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from tide.cli.options import DataDir
from tide.cli.parse import parse
from tide.device import DeviceName
from tide.errors import InputError

if TYPE_CHECKING:
    from tide.runs.folder import RunFacts


@dataclass(frozen=True, kw_only=True)
class StudyOptions(DataDir):
    """Options of every study of one task. What is not given comes from TIDE's preset for the task."""

    ticks: int | None = None
    """Internal ticks T of every model."""
    memory_length: int | None = None
    """History M of the neuron-level models."""
    batch: int | None = None
    """Images per step."""
    file: Annotated[Path | None, tyro.conf.arg(name="config")] = None
    """YAML file of other changes of TIDE's settings, for every run; the baselines take over what they share."""
    out: Path | None = None
    """Folder of the study: its runs, JSON, Markdown and pictures (none: in runs/, named after the study)."""
    jobs: int | None = None
    """Runs side by side (none: one per core on the CPU, else one)."""
    threads: int | None = None
    """Threads of each run (none: the cores shared out to the runs side by side)."""
    device: DeviceName = "auto"
    """Device to train on."""


def check_steps(steps: int | None) -> None:
    """Raise :class:`InputError` for fewer steps than one; None leaves them to the preset."""
    if steps is not None and steps < 1:
        raise InputError(f"--steps must be at least 1, got {steps}")


def changes_of(options: StudyOptions) -> dict[str, Any]:
    """Return the changes of TIDE's settings that apply to every run: a file's, and on top of them the options'."""
    from tide.config.io import read_settings
    from tide.studies.runner import shared_changes

    changes = read_settings(options.file) if options.file is not None else {}
    return shared_changes(changes, ticks=options.ticks, memory_length=options.memory_length, batch=options.batch)


# Several models under equal conditions.


@dataclass(frozen=True, kw_only=True)
class CompareOptions(StudyOptions):
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


def compare(arguments: Sequence[str]) -> int:
    """Train several models on one task under equal conditions, and put them side by side."""
    options = parse(
        CompareOptions,
        arguments,
        prog="tide compare",
        description="Train several models on one task under equal conditions, and put them side by side.",
    )
    from tide.studies.comparison import comparison_trials, task_config
    from tide.studies.publish import command_line
    from tide.studies.runner import finish, make_runner, read_facts

    command = command_line("compare", arguments)
    if options.runs:
        return _compare_runs(options, command)
    if options.task is None:
        raise InputError("no task given; name one (tide compare mnist), or finished runs with --runs")

    check_steps(options.steps)
    base = task_config(options.task, changes_of(options))
    trials = comparison_trials(base, options.models, options.seeds, options.steps or base.train.steps)
    out = options.out or Path("runs") / f"compare-{options.task}"
    outcome = make_runner(out, options.jobs, options.device, options.data_dir, options.threads).run(trials)
    facts = read_facts(trials, outcome, out)
    if facts and not outcome.stopped:
        _report(_by_model(facts.values()), out, options, command)
    return finish(outcome, out, "tide compare")


def _compare_runs(options: CompareOptions, command: str) -> int:
    """Compare runs that exist."""
    from tide.runs.folder import RunFacts

    if options.task is not None:
        raise InputError(f"the task must be left out with --runs, got {options.task}; leave one of them out")
    runs = _by_model(RunFacts.read(path) for path in options.runs)
    _report(runs, options.out or Path("runs") / "comparison", options, command)
    return 0


def _by_model(facts: Iterable[RunFacts]) -> dict[str, list[RunFacts]]:
    """Group runs by their model, core and objective, in the order in which models first appear."""
    from tide.models.presets import model_name

    groups: dict[str, list[RunFacts]] = {}
    for run in facts:
        groups.setdefault(model_name(run.config), []).append(run)
    return groups


def _report(runs: dict[str, list[RunFacts]], out: Path, options: CompareOptions, command: str) -> None:
    from tide.plots.studies import draw_comparison
    from tide.studies import comparison
    from tide.studies.publish import save_study

    name = next(iter(runs.values()))[0].config.data.name
    result = comparison.compare(runs, [percent / 100 for percent in options.reach] or comparison.REACH.get(name, ()))
    result["command"] = command
    text = comparison.markdown(result)
    figures: dict[str, Callable[[], Any]] = {
        "comparison.png": lambda: draw_comparison(result),
    }
    if next(iter(runs.values()))[0].config.classifies_images:
        figures["attention.png"] = lambda: _attention(runs, options.data_dir)
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


# One setting or part at a time.


@dataclass(frozen=True, kw_only=True)
class AblateOptions(StudyOptions):
    """Options of an ablation."""

    task: Annotated[str | None, tyro.conf.Positional] = None
    """The preset's name without a model, as mnist or parity.16; without it the studies are listed."""
    studies: tuple[str, ...] = ("all",)
    """Names of studies, or all."""
    steps: int = 250
    """Optimiser steps of each run."""
    seed: int = 42
    """Seed of every variant."""
    spread_seeds: tuple[int, ...] = (42, 43, 44, 45, 46)
    """Seeds of the baseline: their spread says which differences mean something."""
    rounds: int = 5
    """Training steps of each variant, in turn with the baseline's, that its time factor is measured by; 0: none."""


def ablate(arguments: Sequence[str]) -> int:
    """Run named studies of one setting or part at a time."""
    options = parse(
        AblateOptions,
        arguments,
        prog="tide ablate",
        description="Run named studies of one setting or part at a time; without a task, list them.",
    )
    from tide.studies.ablation import STUDIES, ablation_variants

    if options.task is None:
        for name, study in STUDIES.items():
            print(f"{name:<26} {study.summary}")
        return 0
    from rich.console import Console

    from tide.device import pick_device, set_threads
    from tide.plots.halting import draw_ticks, has_ticks
    from tide.plots.studies import draw_ablation
    from tide.studies.ablation import ablation_result, markdown, step_time_factors
    from tide.studies.publish import command_line, save_study
    from tide.studies.runner import check_seeds, finish, make_runner, read_facts
    from tide.train.report import Pieces

    check_seeds(options.spread_seeds)
    check_steps(options.steps)
    if options.rounds < 0:
        raise InputError(f"--rounds must be at least 0 (no time factors), got {options.rounds}")
    names = tuple(STUDIES) if options.studies == ("all",) else options.studies
    changes = changes_of(options)
    with Console(stderr=True).status("choosing the runs"):
        trials, variants = ablation_variants(
            options.task, names, changes, steps=options.steps, seed=options.seed, spread_seeds=options.spread_seeds
        )
    out = options.out or Path("runs") / f"ablate-{options.task}"
    runner = make_runner(out, options.jobs, options.device, options.data_dir, options.threads)
    outcome = runner.run(trials)
    facts = read_facts(trials, outcome, out)
    if trials[0].name in facts and not outcome.stopped:
        set_threads(runner.threads)  # as the runs had
        finished = [variant for variant in variants if variant.trial.name in facts]
        factors: dict[str, float] = {}
        if options.rounds:
            with Pieces(Console(stderr=True)) as pieces:
                factors = step_time_factors(finished, out, options.rounds, pick_device(options.device), pieces)
        result = ablation_result(facts, variants, options.seed, factors)
        result["command"] = command_line("ablate", arguments)
        text = markdown(result)
        pictures = {"ablation.png": lambda: draw_ablation(result)}
        if has_ticks(result):
            pictures["ticks.png"] = lambda: draw_ticks(result)
        save_study(out, "ablation", result, text, pictures)
        print(text, end="")
        print(f"\n{out}: ablation.json, ablation.md, {', '.join(pictures)}")
    return finish(outcome, out, "tide ablate")

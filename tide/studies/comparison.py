"""Compare models: which runs, at what cost, and what they say together (the paper's Tables 1, A.3)."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import Any

from tide.config import Config, ModelConfig, TrainConfig
from tide.config.io import from_dict
from tide.errors import ConfigError, InputError, did_you_mean
from tide.evaluate.statistics import Interval, agreement, cohens_kappa, joint_outcomes, t_interval, welch_interval
from tide.files import number, percent, table
from tide.models.presets import MODELS, TASKS
from tide.runs.folder import RunFacts, mean_and_std
from tide.studies.robustness import CLEAN, Suite
from tide.studies.robustness_report import Answers, in_points, paired_difference, shifts_of
from tide.studies.runner import Trial, check_seeds
from tide.train.supervised import resolved

# Which runs a comparison of models takes: the same task, data, backbone, seeds and budget for every model.


PROBES = 24  # points of a learning curve
EVALUATIONS = 2  # evaluations on the whole test split, the last step's among them

REACH: Mapping[str, tuple[float, ...]] = {
    "digits": (0.90, 0.95, 0.98),
    "mnist": (0.90, 0.95, 0.97),
    "fashion-mnist": (0.70, 0.80, 0.85),
    "cifar10": (0.30, 0.40, 0.45),
    "cifar100": (0.05, 0.10, 0.15),
}
"""Accuracies whose first reaching measures sample efficiency, by task."""


def task_config(task: str, changes: Mapping[str, Any]) -> Config:
    """Return TIDE's experiment on a task with some settings changed; raises :class:`ConfigError` for unknown ones."""
    if task not in TASKS:
        raise ConfigError(f"unknown task {task!r}{did_you_mean(task, TASKS)}")
    return from_dict(Config, changes, base=TASKS[task]())


def budget(config: Config, steps: int, *, curve: bool = True) -> Config:
    """Return ``config`` for a run of so many steps, with two whole evaluations and readings for a learning curve."""
    train = replace(
        config.train,
        steps=steps,
        probe_every=max(1, steps // PROBES) if curve else 0,
        eval_every=max(1, -(-steps // EVALUATIONS)),
        checkpoint_every=max(1, min(100, steps)),
    )
    return resolved(replace(config, train=train))


def comparison_trials(base: Config, models: Sequence[str], seeds: Sequence[int], steps: int) -> list[Trial]:
    """Return one trial per model and seed, from TIDE's experiment ``base``.

    Raises :class:`ConfigError` for an unknown model (naming the nearest) and :class:`~tide.errors.InputError` for
    repeated seeds.
    """
    for model in models:
        if model not in MODELS:
            raise ConfigError(f"unknown model {model!r}{did_you_mean(model, MODELS)}")
    if len(set(models)) < len(models) or not models:
        raise ConfigError(f"--models must be one or more different models, got {' '.join(models) or 'none'}")
    check_seeds(tuple(seeds))
    short = budget(base, steps)
    # Seed by seed, so that a comparison that is stopped early has whole rows.
    return [Trial(f"{model}-{seed}", replace(MODELS[model](short), seed=seed)) for seed in seeds for model in models]


# Runs that are seeds of one model, taken together: how much of a difference would another training bring?
#
# Two intervals answer two questions. Over seeds: would the difference be there had the models been trained again, on
# these test images? Over images: would it be there on other images, for these trained models?


NO_WIDTH = 1e-9  # as a share of images; rounding errors, of which no test set is large enough to have one
LOOKING = (
    "log_every",
    "monitor_every",
    "eval_every",
    "eval_batch",
    "probe_every",
    "probe_images",
    "checkpoint_every",
)
"""Settings of a training that say when it is looked at and saved, and change nothing of what is trained."""
Seeds = Mapping[str, Mapping[int, str]]
"""The names of the runs of each model by their seed."""


def seeds_of(configs: Mapping[str, ModelConfig]) -> dict[str, dict[int, str]]:
    """Group runs, by their names, whose configurations are equal but for the seed and for ``LOOKING``.

    A group is called as its runs are without their seed, ``tide`` for ``tide-42`` and ``tide-43``, or as its first run
    where they are called otherwise. A second run of the same seed makes a group of its own.
    """
    groups: list[dict[int, str]] = []
    for name, config in configs.items():
        for group in groups:
            first = configs[next(iter(group.values()))]
            if config.seed not in group and _trained(config) == _trained(first):
                group[config.seed] = name
                break
        else:
            groups.append({config.seed: name})
    named: dict[str, dict[int, str]] = {}
    for group in groups:
        first_run, *others = group.values()
        stem, *more = {name.removesuffix(f"-{seed}") for seed, name in group.items()}
        taken = more or stem in named or stem in configs
        named[stem if others and not taken else first_run] = group
    return named


def _trained(config: ModelConfig) -> ModelConfig:
    """Return what determines the trained model but for the seed."""
    if isinstance(config, Config):
        usual = TrainConfig()
        config = replace(config, train=replace(config.train, **{name: getattr(usual, name) for name in LOOKING}))
    return replace(config, seed=0)


def over_seeds(
    models: Mapping[str, Any], answers: Answers, suite: Suite, seeds: Seeds, baseline: str
) -> dict[str, Any]:
    """Return accuracies and differences to the baseline's group, for every group of shifts and the clean images.

    Args:
        models: the numbers of every run, as :func:`~tide.studies.robustness_report.robustness` gives them.
        answers: the answers that they come from.
        suite: what was asked.
        seeds: every run in its group.
        baseline: the run whose group the others are compared with.
    """
    base = next(name for name, runs in seeds.items() if baseline in runs.values())
    titles = list(models[baseline]["groups"])
    titles = ["clean", *titles] if all("clean" in model["cells"] for model in models.values()) else titles

    def accuracies(name: str, title: str) -> dict[int, float]:
        kind = "cells" if title == "clean" else "groups"
        return {seed: models[run][kind][title]["accuracy"] for seed, run in seeds[name].items()}

    def row(name: str, title: str) -> dict[str, Any]:
        mine, other = accuracies(name, title), accuracies(base, title)
        found: dict[str, Any] = {"accuracy": mean_and_std(list(mine.values())), "over_seeds": None, "over_images": None}
        if name != base:
            pairs = paired_seeds(mine, other)
            ours, theirs = (
                [answers[run] for seed, run in seeds[group].items() if seed in pairs or not pairs]
                for group in (name, base)
            )
            shifts = [CLEAN] if title == "clean" else shifts_of(ours[0], _names(suite, title))
            images = paired_difference(ours, theirs, shifts, same_images=suite.same_images)
            interval = difference_over_seeds(mine, other)
            found["over_seeds"] = interval._asdict() if interval is not None else None
            found["over_images"] = images._asdict()
        return found

    return {
        "baseline": base,
        "models": {
            name: {
                "runs": {str(seed): run for seed, run in runs.items()},
                "paired": bool(paired_seeds(runs, seeds[base])),
                "paired_seeds": paired_seeds(runs, seeds[base]),
                "groups": {title: row(name, title) for title in titles},
            }
            for name, runs in seeds.items()
        },
    }


def _names(suite: Suite, title: str) -> Sequence[str]:
    return suite.groups.get(title, [shift.name for shift in suite.shifts])


def paired_seeds(mine: Collection[int], other: Collection[int]) -> list[int]:
    """Return the seeds that two models share where they can be compared pair by pair; else none.

    Two or more pairs, or all there are: a single pair among several seeds would throw away most of what was trained.
    """
    common = sorted(set(mine) & set(other))
    return common if len(common) > 1 or set(mine) == set(other) else []


def difference_over_seeds(mine: Mapping[int, float], other: Mapping[int, float]) -> Interval | None:
    """Return the difference of two models' means over seeds; None where there are too few seeds to tell.

    Seeds that both have been trained with share the order of the data, so they are paired, and those of only one model
    left out: Student's interval of the differences. If they share fewer than two, Welch's of all. An interval of no
    width is none, either: few seeds on few images may agree to the image, and say nothing of how far they would differ.
    """
    if min(len(mine), len(other)) < 2:
        return None
    if pairs := paired_seeds(mine, other):
        interval = t_interval([mine[seed] - other[seed] for seed in pairs])
    else:
        interval = welch_interval(list(mine.values()), list(other.values()))
    return interval if interval.high - interval.low > NO_WIDTH else None


def seeds_markdown(part: Mapping[str, Any], title: str) -> str:
    """Return the section on seeds as Markdown, of what :func:`over_seeds` gave."""
    base = part["baseline"]
    lines = [
        "",
        f"## {title}",
        "",
        f"Accuracy: mean ± standard deviation over seeds. Differences to {base} in points with 95 % intervals: over "
        "seeds (had they been trained again? Student's, paired by seed, or Welch's where fewer than two are shared) "
        "and over images (on other images? bootstrap, of the mean over seeds). Where a part of the seeds is shared, "
        "the differences are of these alone, the accuracies of all.",
        "",
    ]
    columns = ("model", "seeds", "images", "accuracy, %", "difference, over seeds", "difference, over images")
    rows = [
        (
            name,
            ", ".join(model["runs"]) + ("" if name == base else _pairing(model)),
            images,
            with_spread(row["accuracy"], percent),
            in_points(row["over_seeds"]),
            in_points(row["over_images"]),
        )
        for name, model in part["models"].items()
        for images, row in model["groups"].items()
    ]
    return "\n".join([*lines, *table(columns, rows)]) + "\n"


def _pairing(model: Mapping[str, Any]) -> str:
    """Say which of a model's seeds are paired with the baseline's."""
    pairs = model["paired_seeds"]
    if not pairs:
        return " unpaired"
    # The baseline may have more: that is seen in its own row.
    return " paired" if len(pairs) == len(model["runs"]) else f"; paired {', '.join(str(seed) for seed in pairs)}"


# What a variant costs: its training step over that of the run it is compared with, measured in turn.
#
# The speeds in the logs of runs that were made side by side, or beside other work, cannot be compared.


# What the runs of a comparison say together, as data and as a Markdown table (the paper's Tables 1, A.3).


Runs = Mapping[str, Sequence[RunFacts]]
"""The runs of each model by its name."""


def check_comparable(runs: Runs) -> None:
    """Raise :class:`InputError` unless all runs saw the same set and test images, for as many steps."""
    every = [run for group in runs.values() for run in group]
    first = every[0]
    for run in every[1:]:
        if run.config.data.title != first.config.data.title:
            raise InputError(
                f"all runs must be on the same data, got {run.config.data.title} in {run.path} and "
                f"{first.config.data.title} in {first.path}; leave one out"
            )
        steps, others = run.config.train.steps, first.config.train.steps
        if steps != others:
            raise InputError(
                f"train.steps must be the same in all runs, got {steps} in {run.path} and {others} in {first.path}; "
                "train them equally long"
            )
        if not run.answers["label"].equal(first.answers["label"]):
            raise InputError(
                f"all runs must be tested on the same images, got other ones in {run.path} than in {first.path}"
            )


def same_batches(runs: Runs) -> bool:
    """Say whether all models saw the same images in the same order, seed by seed, at every step that was read."""
    groups: dict[int, list[RunFacts]] = {}
    for group in runs.values():
        for run in group:
            groups.setdefault(run.config.seed, []).append(run)
    return all(run.data_crc == group[0].data_crc for group in groups.values() for run in group)


def compare(runs: Runs, reach: Sequence[float]) -> dict[str, Any]:
    """Return the comparison as plain data; raises :class:`InputError` for runs that cannot be compared."""
    check_comparable(runs)
    first = next(iter(runs.values()))[0]
    return {
        "data": first.config.data.title,
        "measured_on": first.config.data.measured_on,
        "test_images": len(first.answers["label"]),
        "steps": first.config.train.steps,
        "batch": first.config.train.batch * first.config.train.accumulation,
        "ticks": first.config.core.ticks,
        "curve_images": min(first.config.train.probe_images, len(first.answers["label"])),
        "same_batches": same_batches(runs),
        "models": {name: _model(group, reach) for name, group in runs.items()},
        "pairs": {f"{a} and {b}": _pair(runs[a], runs[b]) for a, b in combinations(runs, 2)},
        "runs": {run.path.name: _provenance(run) for group in runs.values() for run in group},
    }


def _model(group: Sequence[RunFacts], reach: Sequence[float]) -> dict[str, Any]:
    ratios = [run.last["ei_ratio"] for run in group]
    hedging: list[Any] = [run.last.get("hedging") for run in group]
    whole: list[Any] = [run.last.get("whole_accuracy") for run in group]
    ticks = zip(*(run.last["accuracy_per_tick"] for run in group), strict=True)
    points = {step for run in group for step, _ in run.curve}
    curves = [dict(run.curve) for run in group]
    return {
        "seeds": [run.config.seed for run in group],
        "parameters": group[0].parameters(),
        "best_accuracy": mean_and_std([run.best_accuracy for run in group]),
        "last_accuracy": mean_and_std([run.last_accuracy for run in group]),
        "last_tick_accuracy": mean_and_std([run.last["accuracy_last_tick"] for run in group]),
        "whole_accuracy": mean_and_std(whole) if None not in whole else None,
        # Runs of earlier versions did not read it.
        "hedging": mean_and_std(hedging) if None not in hedging else None,
        "certainty": mean_and_std([run.last["certainty"] for run in group]),
        "calibration_error": mean_and_std([run.last["calibration_error"] for run in group]),
        "ei_ratio": mean_and_std(ratios) if None not in ratios else None,
        "steps_per_second": statistics.median(run.steps_per_second for run in group),
        "reach": [_reach(group, accuracy) for accuracy in reach],
        "accuracy_per_tick": [mean_and_std(values) for values in ticks],
        "curve": [
            {"step": step, **mean_and_std([curve[step] for curve in curves if step in curve])}
            for step in sorted(points)
        ],
    }


def _reach(group: Sequence[RunFacts], accuracy: float) -> dict[str, Any]:
    """Median steps and seconds over the seeds that get there, and how many do."""
    steps = [step for run in group if (step := run.steps_to(accuracy)) is not None]
    seconds = [value for run in group if (value := run.seconds_to(accuracy)) is not None]
    return {
        "accuracy": accuracy,
        "seeds": len(steps),
        "steps": statistics.median(steps) if steps else None,
        "seconds": statistics.median(seconds) if seconds else None,
    }


def _pair(first: Sequence[RunFacts], second: Sequence[RunFacts]) -> dict[str, Any]:
    """Joint outcomes of two models, averaged over the seeds that both have."""
    seconds = {run.config.seed: run for run in second}
    pairs = [(run, seconds[run.config.seed]) for run in first if run.config.seed in seconds]
    rows = []
    for a, b in pairs:
        # Every position of an answer counts; what is not emitted is a class of its own.
        label, of_a, of_b = (x.flatten() + 1 for x in (a.answers["label"], a.answers["answer"], b.answers["answer"]))
        rows.append(
            {
                **joint_outcomes(of_a == label, of_b == label)._asdict(),
                "agreement": agreement(of_a, of_b),
                "kappa": cohens_kappa(of_a, of_b, a.config.output.classes + 1),
            }
        )
    return {"seeds": len(rows)} | {
        name: statistics.fmean(row[name] for row in rows) for name in (rows[0] if rows else ())
    }


def _provenance(run: RunFacts) -> dict[str, Any]:
    kept = ("commit", "version", "processor", "threads")
    numbers = {"best_accuracy": run.best_accuracy, "last_accuracy": run.last_accuracy}
    return {"seed": run.config.seed, **numbers} | {name: run.environment.get(name) for name in kept}


def markdown(result: Mapping[str, Any]) -> str:
    """Return the comparison as Markdown: the table, sample efficiency, joint outcomes."""
    models = result["models"]
    rows: list[tuple[str, Callable[[Mapping[str, Any]], str]]] = [
        ("best accuracy, %", lambda m: with_spread(m["best_accuracy"], percent)),
        ("last accuracy, %", lambda m: with_spread(m["last_accuracy"], percent)),
        ("last accuracy at the last tick, %", lambda m: with_spread(m["last_tick_accuracy"], percent)),
        ("hedging, points", lambda m: with_spread(m["hedging"], percent)),
        ("mean certainty", lambda m: with_spread(m["certainty"], number, ".3f")),
        ("expected calibration error", lambda m: with_spread(m["calibration_error"], number, ".3f")),
        ("E-I ratio", lambda m: with_spread(m["ei_ratio"], number, ".3f")),
        ("parameters", lambda m: f"{m['parameters']:,}"),
        ("steps per second", lambda m: number(m["steps_per_second"])),
    ]
    if any(model["whole_accuracy"] for model in models.values()):
        rows.insert(2, ("last accuracy, whole answers, %", lambda m: with_spread(m["whole_accuracy"], percent)))
    reached = [entry["accuracy"] for entry in next(iter(models.values()))["reach"]]
    for index, accuracy in enumerate(reached):
        rows.append((f"steps (seconds) to {100 * accuracy:g} %", partial(_reached, index)))
    titles = [f"{name} ({len(m['seeds'])} seed{'s' * (len(m['seeds']) > 1)})" for name, m in models.items()]
    lines = [
        f"# {result['data']}: {', '.join(models)}",
        "",
        f"{result['steps']} steps of {result['batch']} images, {result['ticks']} ticks, {result['test_images']} "
        f"{result['measured_on']} images; mean ± standard deviation over seeds. The same batches in the same "
        f"order for every model: **{'yes' if result['same_batches'] else 'NO'}**.",
        "",
        *table(("", *titles), [(title, *map(text, models.values())) for title, text in rows]),
        "",
        "Accuracies are those at the most certain tick. Steps and training seconds to an accuracy: the median over "
        f"seeds of the first point of the learning curve there, on the first {result['curve_images']} of "
        "these images.",
    ]
    if result["pairs"]:
        pairs = [
            (name, *(percent(pair[share]) for share in PAIR_SHARES), number(pair["kappa"], ".3f"))
            for name, pair in result["pairs"].items()
        ]
        lines += ["", *table(("", *(f"{title}, %" for title in PAIR_SHARES.values()), "Cohen's κ"), pairs)]
    return "\n".join(lines) + "\n"


PAIR_SHARES = {
    "both": "both right",
    "only_first": "only the first",
    "only_second": "only the second",
    "none": "none",
    "agreement": "same answer",
}


def with_spread(
    value: Mapping[str, float | None] | None, text: Callable[[float | None, str], str], form: str = ".2f"
) -> str:
    """Return a mean and its standard deviation over seeds by :func:`tide.files.number` or ``percent``."""
    mean, std = (value["mean"], value["std"]) if value is not None else (None, None)
    return text(mean, form) + (f" ± {text(std, form)}" if std is not None else "")


def _reached(index: int, model: Mapping[str, Any]) -> str:
    entry = model["reach"][index]
    if entry["steps"] is None:
        return "not reached"
    missing = len(model["seeds"]) - entry["seeds"]
    seconds = f" ({entry['seconds']:.0f})" if entry["seconds"] is not None else ""
    return f"{entry['steps']:g}{seconds}" + (f", {missing} of {len(model['seeds'])} seeds never" if missing else "")

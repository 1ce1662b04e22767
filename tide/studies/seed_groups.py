"""Runs that are seeds of one model, taken together: how much of a difference would another training bring?

Two intervals answer two questions. Over seeds: would the difference be there had the models been trained again, on
these test images? Over images: would it be there on other images, for these trained models?
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tide.config import Config, ModelConfig, TrainConfig
from tide.evaluate.intervals import Interval, t_interval, welch_interval
from tide.runs.facts import mean_and_std
from tide.studies.robustness import CLEAN
from tide.studies.robustness_report import Answers, in_points, paired_difference, shifts_of
from tide.studies.shifts import Suite

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
        "| model | seeds | images | accuracy, % | difference, over seeds | difference, over images |",
        "|---|---|---|---|---|---|",
    ]
    for name, model in part["models"].items():
        for images, row in model["groups"].items():
            mean, spread = row["accuracy"]["mean"], row["accuracy"]["std"]
            accuracy = f"{100 * mean:.2f}" + (f" ± {100 * spread:.2f}" if spread is not None else "")
            pairing = "" if name == base else _pairing(model)
            lines.append(
                f"| {name} | {', '.join(model['runs'])}{pairing} | {images} | {accuracy} | "
                f"{in_points(row['over_seeds'])} | {in_points(row['over_images'])} |"
            )
    return "\n".join(lines) + "\n"


def _pairing(model: Mapping[str, Any]) -> str:
    """Say which of a model's seeds are paired with the baseline's."""
    pairs = model["paired_seeds"]
    if not pairs:
        return " unpaired"
    # The baseline may have more: that is seen in its own row.
    return " paired" if len(pairs) == len(model["runs"]) else f"; paired {', '.join(str(seed) for seed in pairs)}"

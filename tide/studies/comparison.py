"""Which runs a comparison of models takes: the same task, data, backbone, seeds and budget for every model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tide.config import Config
from tide.config_io import from_dict
from tide.errors import ConfigError, did_you_mean
from tide.models.presets import MODELS, TASKS
from tide.studies.trials import Trial, check_seeds
from tide.train.prepare import resolved

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
        raise ConfigError(f"models are {' '.join(models) or 'none'}, different ones are wanted, one or more")
    check_seeds(tuple(seeds))
    short = budget(base, steps)
    # Seed by seed, so that a comparison that is stopped early has whole rows.
    return [Trial(f"{model}-{seed}", replace(MODELS[model](short), seed=seed)) for seed in seeds for model in models]

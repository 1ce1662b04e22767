"""Learning rate and curriculum as closed forms of the step, and how shortened runs scale them (equations §4, §5)."""

from __future__ import annotations

import math
from dataclasses import replace

from tide.config import LossConfig, TrainConfig
from tide.config.training import TERMS

FLOOR = 0.05  # of the run: the least warm-up, curriculum start and ramp of a run shorter than its preset


def curriculum(step: int, start: int, length: int) -> float:
    """Return κ(step) in [0, 1]: 0 before ``start``, a half cosine over ``length`` steps, then 1 (paper, A.24)."""
    if step < start:
        return 0.0
    if step >= start + length:
        return 1.0
    return 0.5 * (1 - math.cos(math.pi * (step - start) / length))


def learning_rate_factor(step: int, warmup: int, steps: int) -> float:
    """Return the share of the peak learning rate at a 0-based step: linear warm-up, then cosine to zero."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def resolve(config: TrainConfig) -> TrainConfig:
    """Fill in warm-up, curriculum start and length where they are not given.

    They come from the reference schedule; when the number of steps differs from the reference they scale in
    proportion, each at least 5 % of the run.
    """
    reference = config.reference

    def scaled(steps: int) -> int:
        if config.steps == reference.steps:
            return steps
        return max(round(steps * config.steps / reference.steps), round(FLOOR * config.steps))

    return replace(
        config,
        warmup=scaled(reference.warmup) if config.warmup is None else config.warmup,
        curriculum_start=(
            scaled(reference.curriculum_start) if config.curriculum_start is None else config.curriculum_start
        ),
        curriculum_length=(
            scaled(reference.curriculum_length) if config.curriculum_length is None else config.curriculum_length
        ),
    )


def idle_terms(train: TrainConfig, loss: LossConfig) -> list[str]:
    """Return the weighted auxiliary terms that never count because the curriculum starts too late."""
    assert train.curriculum_start is not None
    assert train.curriculum_length is not None
    if curriculum(train.steps - 1, train.curriculum_start, train.curriculum_length) > 0:
        return []
    return [term.name for term in TERMS if term.ramped and loss.weight(term) > 0]

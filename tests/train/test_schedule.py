"""Curriculum and learning rate: the closed forms of the paper's Appendix F.4, and shortened runs."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from tide.config import LossConfig, TrainConfig
from tide.models.presets import TASKS
from tide.train.step import curriculum, idle_terms, learning_rate_factor, resolve

START, LENGTH, STEPS = 1000, 5000, 50_000


def test_curriculum_is_zero_then_a_half_cosine_then_one() -> None:
    assert curriculum(START - 1, START, LENGTH) == 0
    assert curriculum(START, START, LENGTH) == 0
    assert curriculum(START + LENGTH // 2, START, LENGTH) == pytest.approx(0.5)
    assert curriculum(START + LENGTH, START, LENGTH) == 1
    assert curriculum(0, 0, 0) == 1


def test_moments_over_the_ramp() -> None:
    values = [curriculum(step, START, LENGTH) for step in range(START, START + LENGTH)]
    mean = sum(values) / LENGTH
    assert mean == pytest.approx(1 / 2, abs=1e-3)
    assert sum((1 - k) ** 2 for k in values) / LENGTH == pytest.approx(3 / 8, abs=1e-3)
    assert sum((k - mean) ** 2 for k in values) / LENGTH == pytest.approx(1 / 8, abs=1e-3)


def test_moments_over_the_whole_run() -> None:
    values = [curriculum(step, START, LENGTH) for step in range(STEPS)]
    assert sum(values) / STEPS == pytest.approx(1 - (START + LENGTH / 2) / STEPS, abs=1e-4)
    assert sum((1 - k) ** 2 for k in values) / STEPS == pytest.approx((START + 3 * LENGTH / 8) / STEPS, abs=1e-4)


def test_learning_rate_warms_up_linearly_and_decays_to_zero() -> None:
    factors = [learning_rate_factor(step, 10, 100) for step in range(101)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert factors[10] == 1
    assert factors[55] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0)
    assert all(a >= b for a, b in pairwise(factors[10:]))
    assert learning_rate_factor(0, 0, 5) == 1


def test_a_full_run_keeps_the_reference_schedule() -> None:
    config = resolve(TrainConfig())
    assert (config.warmup, config.curriculum_start, config.curriculum_length) == (1000, 1000, 5000)


def test_a_shortened_run_scales_with_a_floor() -> None:
    config = resolve(TrainConfig(steps=1000))
    assert (config.warmup, config.curriculum_start, config.curriculum_length) == (50, 50, 100)
    assert curriculum(999, 50, 100) == 1
    given = resolve(TrainConfig(steps=1000, warmup=7, curriculum_start=0))
    assert (given.warmup, given.curriculum_start, given.curriculum_length) == (7, 0, 100)


@pytest.mark.parametrize("name", TASKS)
def test_auxiliary_losses_count_in_every_preset_at_any_length(name: str) -> None:
    train = TASKS[name]().train
    for steps in (40, 1000, train.steps):
        assert idle_terms(resolve(replace(train, steps=steps)), LossConfig()) == []


def test_a_curriculum_that_never_starts_is_reported() -> None:
    train = resolve(TrainConfig(steps=100, curriculum_start=100))
    assert idle_terms(train, LossConfig()) == ["ei", "game", "sync"]
    assert idle_terms(train, LossConfig(game_weight=0)) == ["ei", "sync"]

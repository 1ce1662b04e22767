"""Intervals, agreement, calibration and corruption errors against slow and exact values."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import cohen_kappa_score
from torch import Tensor

from tide.evaluate.statistics import (
    Interval,
    agreement,
    bootstrap_mean,
    cohens_kappa,
    expected_calibration_error,
    joint_outcomes,
    mean_corruption_error,
    relative_corruption_error,
    t_interval,
    welch_interval,
)


def slow_calibration_error(confidence: list[float], correct: list[bool], bins: int) -> float:
    total = 0.0
    for k in range(bins):
        low, high = k / bins, (k + 1) / bins
        # Bins are open below and closed above; the first holds 0 too.
        members = [i for i, c in enumerate(confidence) if low < c <= high or (k == 0 and c == 0)]
        if members:
            accuracy = sum(correct[i] for i in members) / len(members)
            mean = sum(confidence[i] for i in members) / len(members)
            total += len(members) / len(confidence) * abs(accuracy - mean)
    return total


@settings(max_examples=60, deadline=None)
@given(
    pairs=st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40), bins=st.sampled_from([1, 4, 16])
)
def test_calibration_error_equals_the_slow_loop_and_lies_in_zero_to_one(pairs, bins):
    # Powers of two: their edges are the same numbers however they are computed.
    confidence, correct = [c for c, _ in pairs], [r for _, r in pairs]
    found = expected_calibration_error(torch.tensor(confidence, dtype=torch.float64), torch.tensor(correct), bins)
    assert found == pytest.approx(slow_calibration_error(confidence, correct, bins), abs=1e-12)
    assert 0 <= found <= 1


def test_calibration_error_has_fifteen_bins_and_its_known_values():
    sure, right = torch.ones(8), torch.ones(8, dtype=torch.bool)
    assert expected_calibration_error(sure, ~right) == 1
    assert expected_calibration_error(sure, right) == 0
    # Perfect calibration: of the answers given with probability k/10, k in 10 are right.
    probability = torch.arange(1, 10, dtype=torch.float64).repeat_interleave(10) / 10
    hits = torch.cat([torch.arange(10) < k for k in range(1, 10)])
    assert expected_calibration_error(probability, hits) == pytest.approx(0, abs=1e-12)
    # One shift of all, as long as no bin mixes signs, is the error itself.
    assert expected_calibration_error(probability - 0.05, hits) == pytest.approx(0.05, abs=1e-12)
    # Over- and under-confidence cancel within a bin, (7/15, 8/15], not between bins.
    halves = torch.tensor([True, False] * 5)
    within, between = (torch.tensor([low, 1 - low] * 5, dtype=torch.float64) for low in (0.49, 0.4))
    assert expected_calibration_error(within, halves) == pytest.approx(0, abs=1e-12)
    assert expected_calibration_error(between, halves) == pytest.approx(0.6, abs=1e-12)


def answers(seed: int, classes: int, alike: float) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first, other = torch.randint(classes, (2, 50), generator=generator)
    return first, torch.where(torch.rand(50, generator=generator) < alike, first, other)


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("alike", [0.0, 0.3, 0.9, 1.0])
def test_kappa_is_that_of_scikit_learn_and_symmetric(classes, alike):
    for seed in range(5):
        first, second = answers(seed, classes, alike)
        found = cohens_kappa(first, second, classes)
        assert found == pytest.approx(cohen_kappa_score(first.numpy(), second.numpy()), abs=1e-12)
        assert found == pytest.approx(cohens_kappa(second, first, classes), abs=1e-12)
        assert agreement(first, second) == pytest.approx(
            sum(a == b for a, b in zip(first.tolist(), second.tolist(), strict=True)) / 50
        )


def test_kappa_of_one_and_the_same_answer_to_everything_is_one_and_of_opposites_below_zero():
    same = torch.zeros(6, dtype=torch.long)
    assert cohens_kappa(same, same, 3) == 1
    halves = torch.tensor([0, 1] * 3)
    assert cohens_kappa(halves, 1 - halves, 2) == pytest.approx(-1)
    # Full disagreement of two constant answers is what chance gives.
    assert cohens_kappa(same, same + 1, 3) == 0


def test_joint_outcomes_count_each_case_and_sum_to_one():
    first = torch.tensor([True, True, True, False, False, False, False, True])
    second = torch.tensor([True, True, False, True, False, False, False, True])
    outcomes = joint_outcomes(first, second)
    assert outcomes == (3 / 8, 1 / 8, 1 / 8, 3 / 8)
    assert outcomes._fields == ("both", "only_first", "only_second", "none")
    for seed in range(5):
        a, b = (values % 2 == 0 for values in answers(seed, 10, 0.3))
        outcomes = joint_outcomes(a, b)
        assert sum(outcomes) == pytest.approx(1)
        assert outcomes.both + outcomes.only_first == pytest.approx(float(a.double().mean()))
        assert outcomes.both + outcomes.only_second == pytest.approx(float(b.double().mean()))
        assert joint_outcomes(b, a) == (outcomes.both, outcomes.only_second, outcomes.only_first, outcomes.none)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_interval_has_the_width_of_the_central_limit() -> None:
    values = normal(1000)
    found = bootstrap_mean(values, resamples=4000)
    error = float(values.std(correction=0)) / 1000**0.5
    assert found.mean == pytest.approx(float(values.mean()), abs=1e-12)
    assert found.low == pytest.approx(found.mean - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(found.mean + 1.96 * error, abs=0.1 * error)
    assert bootstrap_mean(values, resamples=4000) == found  # the same whenever it is asked for


def test_nine_in_ten_intervals_of_ninety_percent_hold_the_truth() -> None:
    intervals = [bootstrap_mean(normal(60, seed=seed), resamples=400, level=0.9) for seed in range(200)]
    share = sum(interval.low <= 0 <= interval.high for interval in intervals) / 200
    assert 0.82 < share < 0.96


@pytest.mark.parametrize(
    ("low", "high", "sure"), [(-1, 1, False), (0, 1, False), (-1, 0, False), (0.1, 1, True), (-1, -0.1, True)]
)
def test_a_difference_is_sure_where_zero_lies_outside(low: float, high: float, sure: bool) -> None:
    assert Interval((low + high) / 2, low, high).sure is sure


def test_pairing_removes_what_both_models_share() -> None:
    shared = normal(500)
    first, second = shared + 0.02, shared + 0.01 * normal(500, seed=1)
    assert bootstrap_mean(first - second).sure
    assert not bootstrap_mean(first).sure


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_intervals_over_seeds_are_those_of_the_t_tests(seeds: int) -> None:
    first, second = normal(seeds).tolist(), normal(4, seed=1).tolist()
    paired = stats.ttest_rel(first, [0.0] * seeds).confidence_interval(0.95)
    assert t_interval(first)[1:] == pytest.approx((paired.low, paired.high))
    apart = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    found = welch_interval(first, second)
    assert found[1:] == pytest.approx((apart.low, apart.high))
    assert found.mean == pytest.approx(sum(first) / seeds - sum(second) / 4)
    assert welch_interval([0.5, 0.5], [0.25, 0.25]) == (0.25, 0.25, 0.25)


def test_corruption_errors_by_hand() -> None:
    errors, baseline = {"fog": [0.1, 0.3], "snow": [0.5, 0.7]}, {"fog": [0.2, 0.6], "snow": [0.4, 0.8]}
    assert mean_corruption_error(errors, baseline) == pytest.approx((0.4 / 0.8 + 1.2 / 1.2) / 2)
    # Over a clean error of 0.1 and 0.2: (0.2 / 0.4 + 1.0 / 0.8) / 2.
    assert relative_corruption_error(errors, 0.1, baseline, 0.2) == pytest.approx((0.5 + 1.25) / 2)
    assert mean_corruption_error(baseline, baseline) == 1
    assert mean_corruption_error(errors, {"fog": [0.0, 0.0], "snow": [0.1, 0.1]}) is None

"""Bootstrap intervals: exact moments of the resampled mean, coverage, pairing."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from tide.evaluate.statistics import (
    Interval,
    bootstrap_mean,
    mean_corruption_error,
    relative_corruption_error,
    t_interval,
    welch_interval,
)


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

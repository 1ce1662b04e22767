"""Calibration and agreement: against slow loops, scikit-learn and the values that are known beforehand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from torch import Tensor

from tide.evaluate.statistics import agreement, cohens_kappa, expected_calibration_error, joint_outcomes


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

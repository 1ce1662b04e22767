"""How sure a difference between models is, how answers agree, whether probabilities mean what they say."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import stdtrit
from torch import Tensor

# How sure a difference between two models is: over the images that both were asked about, and over their seeds.


RESAMPLES = 2000
LEVEL = 0.95
_AT_ONCE = 250  # resamples; bounds the memory that their counts take


class Interval(NamedTuple):
    """A mean with its interval."""

    mean: float
    low: float
    high: float

    @property
    def sure(self) -> bool:
        """Whether zero lies outside."""
        return self.low > 0 or self.high < 0


def bootstrap_mean(values: Tensor, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0) -> Interval:
    """Return the mean of ``values`` (n,) and its percentile interval under resampling (Efron 1979).

    For two models on the same images pass the differences image by image: the interval is then paired.
    """
    numbers: npt.NDArray[np.float64] = values.double().cpu().numpy()
    generator = np.random.default_rng(seed)
    shares = np.full(len(numbers), 1 / len(numbers))
    means: list[npt.NDArray[np.float64]] = []
    for start in range(0, resamples, _AT_ONCE):
        # How often each image is drawn, rather than which: a product instead of a gather.
        counts = generator.multinomial(len(numbers), shares, size=min(_AT_ONCE, resamples - start))
        means.append(counts @ numbers / len(numbers))
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(numbers.mean()), float(low), float(high))


def t_interval(values: Sequence[float], *, level: float = LEVEL) -> Interval:
    """Return the mean of two or more values and Student's interval (Student 1908).

    For two models trained with the same seeds pass the differences seed by seed: the interval is then paired. The
    values are taken as normal, which few of them could not contradict; resampling two to five would give intervals
    that are far too short.
    """
    error = statistics.stdev(values) / math.sqrt(len(values))
    return _student(statistics.fmean(values), error, len(values) - 1, level)


def welch_interval(first: Sequence[float], second: Sequence[float], *, level: float = LEVEL) -> Interval:
    """Return the difference of two means, two or more values each, and Welch's interval (Welch 1947).

    For two models trained with other seeds. Their spreads may differ.
    """
    parts = [statistics.variance(values) / len(values) for values in (first, second)]
    mean = statistics.fmean(first) - statistics.fmean(second)
    if sum(parts) == 0:
        return Interval(mean, mean, mean)
    denominator = sum(part**2 / (len(values) - 1) for part, values in zip(parts, (first, second), strict=True))
    return _student(mean, math.sqrt(sum(parts)), sum(parts) ** 2 / denominator, level)


def _student(mean: float, error: float, freedom: float, level: float) -> Interval:
    reach = float(stdtrit(freedom, (1 + level) / 2)) * error
    return Interval(mean, mean - reach, mean + reach)


# How two models' answers to the same images go together (the paper's Figure A.3).


class JointOutcomes(NamedTuple):
    """Shares of images, in [0, 1]: both right, only the first, only the second, none."""

    both: float
    only_first: float
    only_second: float
    none: float


def joint_outcomes(first_right: Tensor, second_right: Tensor) -> JointOutcomes:
    """Return how often two models are right together and alone; both (n,) bool."""
    cases = (
        first_right & second_right,
        first_right & ~second_right,
        ~first_right & second_right,
        ~first_right & ~second_right,
    )
    return JointOutcomes(*(float(case.double().mean()) for case in cases))


def agreement(first: Tensor, second: Tensor) -> float:
    """Return the share of images that two models answer alike, answers (n,) as class indices."""
    return float((first == second).double().mean())


def cohens_kappa(first: Tensor, second: Tensor, classes: int) -> float:
    """Return Cohen's κ of two models' answers (n,): agreement above that of chance, 1 at most (Cohen, 1960).

    Where both give one and the same answer to every image, chance agreement is 1 and κ is undefined: 1 is returned.
    """
    shares = [torch.bincount(answers, minlength=classes).double() / len(answers) for answers in (first, second)]
    chance = float(shares[0] @ shares[1])
    return (agreement(first, second) - chance) / (1 - chance) if chance < 1 else 1.0


# Whether probabilities mean what they say.


BINS = 15  # as usual since Guo et al., arXiv:1706.04599


def expected_calibration_error(confidence: Tensor, correct: Tensor, bins: int = BINS) -> float:
    """Return the expected calibration error in [0, 1] (Naeini et al., 2015; Guo et al., arXiv:1706.04599).

    ``confidence`` (n,) is the probability of the answer, ``correct`` (n,) whether it is right. Over bins of equal
    width: the mean of |accuracy − mean confidence|, weighted by the images in a bin.
    """
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)[1:-1]
    index = torch.bucketize(confidence.double(), edges)
    gaps = torch.zeros(bins, dtype=torch.float64).index_add_(0, index, correct.double() - confidence.double())
    return float(gaps.abs().sum() / len(confidence))


# Corruption errors relative to a baseline (Hendrycks and Dietterich, arXiv:1903.12261, section 4.3).


Errors = Mapping[str, Sequence[float]]
"""Error in [0, 1] at each severity, by corruption."""


def mean_corruption_error(errors: Errors, baseline: Errors) -> float | None:
    """Return mCE: mean over corruptions of Σ_s E_s / Σ_s E_s of the baseline; None where the baseline makes no error.

    Both have the same corruptions and severities.
    """
    return _mean_ratio([(sum(errors[name]), sum(baseline[name])) for name in errors])


def relative_corruption_error(errors: Errors, clean: float, baseline: Errors, baseline_clean: float) -> float | None:
    """Return relative mCE: the same of what the errors gain over that on clean images."""
    return _mean_ratio(
        [
            (sum(error - clean for error in errors[name]), sum(error - baseline_clean for error in baseline[name]))
            for name in errors
        ]
    )


def _mean_ratio(pairs: Sequence[tuple[float, float]]) -> float | None:
    if any(baseline <= 0 for _, baseline in pairs):
        return None  # the baseline loses nothing under some corruption: no ratio to it
    return fmean(error / baseline for error, baseline in pairs)

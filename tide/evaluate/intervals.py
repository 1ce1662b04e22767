"""How sure a difference between two models is: over the images that both were asked about, and over their seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit
from torch import Tensor

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
    below = sum(part**2 / (len(values) - 1) for part, values in zip(parts, (first, second), strict=True))
    return _student(mean, math.sqrt(sum(parts)), sum(parts) ** 2 / below, level)


def _student(mean: float, error: float, freedom: float, level: float) -> Interval:
    reach = float(stdtrit(freedom, (1 + level) / 2)) * error
    return Interval(mean, mean - reach, mean + reach)

"""How sure a difference between two models is: bootstrap intervals over the images that both were asked about."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

RESAMPLES = 2000
LEVEL = 0.95
_AT_ONCE = 250  # resamples; bounds the memory that their counts take


class Interval(NamedTuple):
    """A mean with its bootstrap interval."""

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

"""Whether probabilities mean what they say."""

from __future__ import annotations

import torch
from torch import Tensor

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

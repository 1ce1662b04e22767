"""Corruption errors relative to a baseline (Hendrycks and Dietterich, arXiv:1903.12261, section 4.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

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
    if any(below <= 0 for _, below in pairs):
        return None  # the baseline loses nothing under some corruption: no ratio to it
    return fmean(above / below for above, below in pairs)

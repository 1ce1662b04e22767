"""Differentiable estimate of a Perron eigenvalue (equations §4, "Perron surrogate")."""

from __future__ import annotations

import torch
from torch import Tensor


def perron_estimate(matrix: Tensor, iterations: int = 20) -> Tensor:
    """Return ρ̂ = 1ᵀW v / 1ᵀv of a non-negative matrix (n, n) after power iterations v ← W v / ‖W v‖₁ from uniform v.

    A ratio of sums, differentiable in W, without warm start. Known limits: zero and nilpotent matrices give 0; a
    periodic matrix alternates about its Perron value; after finitely many iterations the estimate may exceed ‖W‖₂
    slightly.
    """
    v = matrix.new_full((matrix.shape[0],), 1.0 / matrix.shape[0])
    for _ in range(iterations):
        image = matrix @ v
        v = image / _safe(image.sum())
    return (matrix @ v).sum() / _safe(v.sum())


def _safe(total: Tensor) -> Tensor:
    """Replace a zero divisor by one: a nilpotent W drives v to exactly zero, where 0/0 would poison the gradient."""
    return torch.where(total > 0, total, torch.ones_like(total))

"""What every analysis of a matrix asks of it, and its exact spectrum."""

from __future__ import annotations

import torch
from torch import Tensor

from tide.errors import InputError


def square(matrix: Tensor, name: str = "matrix") -> Tensor:
    """Return ``matrix`` in float64 on the CPU; raises :class:`InputError` unless it is square, finite and not empty."""
    if matrix.dim() != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] == 0:
        raise InputError(f"{name} has shape {tuple(matrix.shape)}, a square one (n, n) is wanted")
    matrix = matrix.detach().to("cpu", torch.float64)
    if not bool(matrix.isfinite().all()):
        raise InputError(f"{name} holds NaN or infinite entries, finite ones are wanted: the run has diverged")
    return matrix


def non_negative(matrix: Tensor, name: str = "matrix") -> Tensor:
    """Return ``matrix`` in float64; raises :class:`InputError` unless it is square, finite and non-negative."""
    matrix = square(matrix, name)
    lowest = float(matrix.min())
    if lowest < 0:
        raise InputError(
            f"{name} has an entry of {lowest:.3g}, none below 0 is wanted: Dale's principle does not hold for it"
        )
    return matrix


def spectrum(matrix: Tensor) -> Tensor:
    """Return the eigenvalues (n,), complex128, of a square matrix; complex pairs as such."""
    values: Tensor = torch.linalg.eigvals(square(matrix))
    return values


def spectral_radius(matrix: Tensor) -> float:
    """Return max |λ| over the true eigenvalues: a Rayleigh quotient reads an unstable rotation as stable."""
    return float(spectrum(matrix).abs().max())

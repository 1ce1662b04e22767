"""Exact spectra of the recurrent matrices: linear stability of the populations, and the scale gauge."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from tide.analysis.states import raw_preactivation, tide_cell
from tide.errors import InputError
from tide.models.thinker import Thinker
from tide.models.ticks import TideMoment
from tide.models.tide import TideCell
from tide.nn.dynamics import centred, norm_divisors, per_neuron


def square(matrix: Tensor, name: str = "matrix") -> Tensor:
    """Return ``matrix`` in float64 on the CPU; raises :class:`InputError` unless it is square, finite and not empty."""
    if matrix.dim() != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] == 0:
        raise InputError(f"{name} must be square (n, n), got shape {tuple(matrix.shape)}")
    matrix = matrix.detach().to("cpu", torch.float64)
    if not bool(matrix.isfinite().all()):
        raise InputError(f"{name} must be finite, got NaN or infinity; the run has diverged")
    return matrix


def non_negative(matrix: Tensor, name: str = "matrix") -> Tensor:
    """Return ``matrix`` in float64; raises :class:`InputError` unless it is square, finite and non-negative."""
    matrix = square(matrix, name)
    lowest = float(matrix.min())
    if lowest < 0:
        raise InputError(f"{name} must have no entry below 0, got {lowest:.3g}; Dale's principle does not hold")
    return matrix


def spectrum(matrix: Tensor) -> Tensor:
    """Return the eigenvalues (n,), complex128, of a square matrix; complex pairs as such."""
    values: Tensor = torch.linalg.eigvals(square(matrix))
    return values


def spectral_radius(matrix: Tensor) -> float:
    """Return max |λ| over the true eigenvalues: a Rayleigh quotient reads an unstable rotation as stable."""
    return float(spectrum(matrix).abs().max())


# Linear stability of the populations alone and together: exact conditions on true eigenvalues (equations §7).
#
# All of it is for the core without activation, norm and lateral inhibition: r ← r + diag(α)(W r − r).


@dataclass(frozen=True)
class IsolatedBound:
    """One population alone. ``value`` must stay below ``bound``; ``radius`` is that of its Euler map.

    For E: ``value`` = λ_P(W_EE), bound 1. For I: ``value`` is the greatest α|1 + λ|²/(2(1 + Re λ)) over all eigenvalues
    of W_II (infinite where Re λ ≤ −1), bound 1; ``perron`` = λ_P(W_II) and ``paper_bound`` = 2/α − 1, which is
    necessary only.
    """

    value: float
    bound: float
    radius: float
    perron: float
    paper_bound: float | None = None

    @property
    def stable(self) -> bool:
        """Whether the isolated population is Schur stable, by its condition."""
        return self.value < self.bound


def isolated_excitatory(w_ee: Tensor, alpha: float) -> IsolatedBound:
    """(1 − α) I + α W_EE is Schur iff λ_P(W_EE) < 1, for any α in (0, 1]; ``w_ee`` (n, n) ≥ 0."""
    w = non_negative(w_ee, "W_EE")
    perron = spectral_radius(w)
    return IsolatedBound(perron, 1.0, _radius_of_map(w, alpha), perron)


def isolated_inhibitory(w_ii: Tensor, alpha: float) -> IsolatedBound:
    """(1 − α) I − α W_II is Schur iff α|1 + λ|² < 2(1 + Re λ) for every eigenvalue λ; ``w_ii`` (n, n) ≥ 0."""
    w = non_negative(w_ii, "W_II")
    one_plus = 1 + spectrum(w)
    ratios = alpha * one_plus.abs().square() / (2 * one_plus.real)
    value = torch.where(one_plus.real > 0, ratios, torch.inf).max()
    return IsolatedBound(float(value), 1.0, _radius_of_map(-w, alpha), spectral_radius(w), 2 / alpha - 1)


def _radius_of_map(w: Tensor, alpha: float) -> float:
    return spectral_radius((1 - alpha) * torch.eye(len(w), dtype=w.dtype) + alpha * w)


def step_bound(jacobian: Tensor) -> float:
    """Return the least upper bound of Δt for which I + Δt J is Schur: min −2 Re λ/|λ|²; 0 where J is not Hurwitz.

    ``jacobian`` (n, n) in 1/ms gives Δt in ms: for the coupled system diag(1/τ)(W_eff − I).
    """
    eigenvalues = spectrum(square(jacobian, "J"))
    bounds = -2 * eigenvalues.real / eigenvalues.abs().square()
    return max(0.0, float(torch.where(eigenvalues.real < 0, bounds, 0.0).min()))


# The scale gauge: what is said of raw weights under norm ``rms``, and what is said of the function (equations §7).
#
# The norm divides each population by its root mean square, so weights and bias of a population times any c > 0
# compute the same rates, while every spectrum of the raw weights changes. What does not change is the normalised
# matrix W̃ = diag(g_i / s_p) W_eff, s_p = rms(h_p) (or max(1, rms) under ``rms_cap``, 1 without a norm), at states
# that the network meets.


def divisors(cell: TideCell, h: Tensor) -> Tensor:
    """Return what the norm divides each neuron's pre-activation ``h`` (B, D) by, (B, D)."""
    core = cell.config
    return per_neuron(norm_divisors(h, core.n_e, core.norm), core.n_e, core.neurons)


@torch.no_grad()
def normalised_matrices(model: Thinker, states: Iterable[TideMoment]) -> Tensor:
    """Return W̃ at every one of S states of B samples, (B, S, D, D) in float64 on the CPU.

    Raises :class:`~tide.errors.InputError` for a model without excitatory and inhibitory populations.
    """
    cell = tide_cell(model)
    w = cell.blocks().effective().double().cpu()
    if cell.config.norm == "layer":  # which subtracts the mean over the target's population
        w = centred(w.T, cell.config.n_e).T
    matrices = []
    for state in states:
        factor = state.context.weights.dynamics.gain / divisors(cell, raw_preactivation(cell, state))
        matrices.append(factor.double().cpu()[:, :, None] * w)
    return torch.stack(matrices, 1)

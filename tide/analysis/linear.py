"""Linear stability of the populations alone and together: exact conditions on true eigenvalues (equations §7).

All of it is for the core without activation, norm and lateral inhibition: r ← r + diag(α)(W r − r).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tide.analysis.matrices import non_negative, spectral_radius, spectrum, square


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

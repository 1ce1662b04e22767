"""Lateral inhibition: winner-take-all inside the excitatory population (equations §2.4)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from tide.device import captured
from tide.nn.constraints import NON_NEGATIVE, Bounded
from tide.nn.weights import refresh


class LateralWeights(NamedTuple):
    """Weights composed once per forward pass: W_inᵀ (n_E, n_W) and -γ W_outᵀ (n_W, n_E)."""

    excite: Tensor
    inhibit: Tensor


class LateralInhibition(Bounded):
    """An auxiliary inhibitory pool damps the excitatory rates: eᵏ⁺¹ = [e⁰ − γ W_out [W_in eᵏ]₊]₊.

    The map is antitone, so even and odd iterates bracket its fixed point; it contracts with constant at most
    γ‖W_out W_in‖.

    Args:
        n_e: excitatory neurons.
        pool: neurons of the inhibitory pool.
        iterations: fixed-point iterations K; 0 leaves the rates as they are.
        strength: start of the learned strength γ.
        tolerance: in eval mode a sample stops iterating once its rates move by less than this.
        dale: whether :func:`~tide.nn.project_` keeps W_in and W_out non-negative.
    """

    def __init__(
        self,
        n_e: int,
        pool: int,
        *,
        iterations: int = 5,
        strength: float = 0.5,
        tolerance: float = 1e-4,
        dale: bool = True,
    ) -> None:
        super().__init__()
        self.iterations, self.tolerance, self.dale = iterations, tolerance, dale
        self.w_in = nn.Parameter(torch.rand(pool, n_e) * (0.2 / n_e))
        self.w_out = nn.Parameter(torch.rand(n_e, pool) * (0.2 / pool))
        self.strength = nn.Parameter(torch.tensor(float(strength)))

    def bounds(self) -> dict[str, tuple[float, float]]:
        """All three are non-negative: the pool only ever inhibits. Without ``dale`` the matrices are free."""
        return {name: NON_NEGATIVE for name in ("w_in", "w_out") * self.dale} | {"strength": NON_NEGATIVE}

    def compose(self) -> LateralWeights:
        """Compose what every iteration uses."""
        refresh(self)
        return LateralWeights(self.w_in.t(), -self.strength * self.w_out.t())

    def forward(self, rates: Tensor, weights: LateralWeights | None = None) -> tuple[Tensor, Tensor]:
        """Return the inhibited rates (B, n_E) and the iterations that each sample used (B,).

        In training every sample takes all K iterations. In eval mode a sample stops once its greatest change is
        under the tolerance and stays as it is, whatever the rest of the batch does.
        """
        weights = self.compose() if weights is None else weights
        current = rates
        if self.training:
            for _ in range(self.iterations):
                current = _iterate(rates, current, weights)
            return current, rates.new_full((rates.shape[0],), self.iterations)
        used = rates.new_zeros(rates.shape[0])
        reads = rates.device.type == "cpu" and not captured()
        active = torch.ones(rates.shape[0], dtype=torch.bool, device=rates.device)
        for _ in range(self.iterations):
            moved = _iterate(rates, current, weights)
            change = (moved - current).abs().amax(1)
            current = torch.where(active[:, None], moved, current)
            used = used + active
            active = active & (change >= self.tolerance)
            # Elsewhere reading the answer back would hold up the device, and could not be captured in a graph.
            if reads and not bool(active.any()):
                break
        return current, used


def _iterate(drive: Tensor, current: Tensor, weights: LateralWeights) -> Tensor:
    pool = torch.relu(current @ weights.excite)
    return torch.relu(torch.addmm(drive, pool, weights.inhibit))

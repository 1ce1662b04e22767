"""Loose and tight balance of excitation and inhibition, and where the network lies among Brunel's regimes.

Paper, Definition A.7 and Appendix C.5; Brunel, J. Comput. Neurosci. 8, 183 (2000).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tide.core.blocks import RecurrentBlocks


def balance_index(rates: Tensor, blocks: RecurrentBlocks) -> Tensor:
    """Return b = |c_E − c_I| / (c_E + c_I) of every neuron, (B, D), from rates (B, D): 0 is perfect balance.

    c_E = W_·E r_E and c_I = W_·I r_I are the excitatory and inhibitory recurrent currents. 1 where both vanish or one
    is missing. Balance is tight where b falls as 1/√in-degree with the size of the network.
    """
    n_e = blocks.ee.shape[0]
    excitation = rates[:, :n_e] @ torch.cat((blocks.ee, blocks.ie)).T
    inhibition = rates[:, n_e:] @ torch.cat((blocks.ei, blocks.ii)).T
    total = excitation + inhibition
    return torch.where(total > 0, (excitation - inhibition).abs() / total.clamp(min=1e-30), 1.0)


@dataclass(frozen=True)
class Regime:
    """Brunel's parameters: ``g`` = mean W_EI / mean W_EE; inhibition dominates where g > ``threshold`` = n_E/n_I.

    ``asynchrony`` χ² = Var_t(mean_i r) / mean_i Var_t(r) of each population, mean over images: 1 where all neurons move
    together, about 1/n where they move independently; None where nothing moves.
    """

    g: float
    threshold: float
    asynchrony_e: float | None
    asynchrony_i: float | None

    @property
    def inhibition_dominated(self) -> bool:
        """Whether g exceeds n_E/n_I."""
        return self.g > self.threshold


def regime(rates: Tensor, blocks: RecurrentBlocks) -> Regime:
    """Return Brunel's parameters from rates over time (T, B, D) and the recurrent matrices."""
    n_e, n_i = blocks.ei.shape
    mean = float(blocks.ee.mean())
    return Regime(
        g=float(blocks.ei.mean()) / mean if mean > 0 else float("inf"),
        threshold=n_e / n_i,
        asynchrony_e=asynchrony(rates[:, :, :n_e]),
        asynchrony_i=asynchrony(rates[:, :, n_e:]),
    )


def asynchrony(rates: Tensor) -> float | None:
    """Return χ² = Var_t(mean_i r) / mean_i Var_t(r) of rates (T, B, n), mean over the samples whose rates move."""
    together = rates.mean(2).var(0)
    alone = rates.var(0).mean(1)
    moving = alone > 0
    if not bool(moving.any()):
        return None
    return float((together[moving] / alone[moving]).mean())

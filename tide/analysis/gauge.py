"""The scale gauge: what is said of raw weights under norm ``rms``, and what is said of the function (equations §7).

The norm divides each population by its root mean square, so weights and bias of a population times any c > 0 compute
the same rates, while every spectrum of the raw weights changes. What does not change is the normalised matrix
W̃ = diag(g_i / s_p) W_eff, s_p = rms(h_p) (or max(1, rms) under ``rms_cap``, 1 without a norm), at states that the
network meets.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from tide.analysis.trajectory import raw_preactivation, tide_cell
from tide.core.wilson_cowan import norm_divisors, per_neuron
from tide.models.thinker import Thinker
from tide.models.tide import TideCell, TideState


def divisors(cell: TideCell, h: Tensor) -> Tensor:
    """Return what the norm divides each neuron's pre-activation ``h`` (B, D) by, (B, D)."""
    core = cell.config
    return per_neuron(norm_divisors(h, core.n_e, core.norm), core.n_e, core.neurons)


@torch.no_grad()
def normalised_matrices(model: Thinker, states: Iterable[TideState]) -> Tensor:
    """Return W̃ at every one of S states of B samples, (B, S, D, D) in float64 on the CPU.

    Raises :class:`~tide.errors.InputError` for a model without excitatory and inhibitory populations.
    """
    cell = tide_cell(model)
    w = cell.blocks().effective().double().cpu()
    kept = []
    for state in states:
        factor = state.weights.dynamics.gain / divisors(cell, raw_preactivation(cell, state))
        kept.append(factor.double().cpu()[:, :, None] * w)
    return torch.stack(kept, 1)

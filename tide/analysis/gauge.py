"""The scale gauge: what is said of raw weights under norm ``rms``, and what is said of the function (equations §7).

The norm divides each population by its root mean square, so weights and bias of a population times any c > 0 compute
the same rates, while every spectrum of the raw weights changes. What does not change is the normalised matrix
W̃ = diag(g_i / s_p) W_eff, s_p = rms(h_p) (or max(1, rms) under ``rms_cap``, 1 without a norm), at states that the
network meets.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tide.config import CoreConfig
from tide.core.wilson_cowan import RMS_EPSILON
from tide.errors import InputError
from tide.models.thinker import Thinker
from tide.models.tide import TideCell, TideState


def scales(h: Tensor, core: CoreConfig) -> Tensor:
    """Return the divisor of every neuron (B, D), given pre-activations before the norm (B, D)."""
    square, n_e = h.square(), core.n_e
    if core.norm == "none":
        return torch.ones_like(h)
    if core.norm == "rms_shared":
        return square.mean(1, keepdim=True).add(RMS_EPSILON).sqrt().expand_as(h)
    rms = torch.stack((square[:, :n_e].mean(1), square[:, n_e:].mean(1)), 1).add(RMS_EPSILON).sqrt()
    rms = rms.clamp(min=1.0) if core.norm == "rms_cap" else rms
    return torch.cat((rms[:, :1].expand(-1, n_e), rms[:, 1:].expand(-1, core.n_i)), 1)


@torch.no_grad()
def normalised_matrices(model: Thinker, images: Tensor, ticks: Sequence[int]) -> Tensor:
    """Return W̃ of every image at every named tick (0-based), (B, len(ticks), D, D) in float64 on the CPU."""
    cell = tide_cell(model)
    w = cell.blocks().effective().double().cpu()
    kept = []
    for _tick, state in states(model, images, ticks):
        weights = state.weights.dynamics
        attended = cell.attention(state.latent, state.keys, state.values)
        drive = torch.addmm(weights.bias, attended.output, weights.input)
        h = torch.addmm(drive, state.rates, weights.recurrent)
        factor = (weights.gain / scales(h, cell.config)).double().cpu()
        kept.append(factor[:, :, None] * w)
    return torch.stack(kept, 1)


def tide_cell(model: Thinker) -> TideCell:
    """Return the cell of a TIDE model; raises :class:`InputError` for one without the weights of two populations."""
    if not isinstance(model.cell, TideCell):
        raise InputError(
            f"this model's core is {model.config.core.kind}: it has no excitatory and inhibitory weights to analyse; "
            "give a run of a TIDE preset"
        )
    return model.cell


@torch.no_grad()
def states(model: Thinker, images: Tensor, ticks: Sequence[int]) -> list[tuple[int, TideState]]:
    """Return the states that ``images`` (B, channels, H, W) meet before each named tick (0-based, ascending)."""
    cell = tide_cell(model)
    model.eval()
    state = cell.begin(model.backbone((images - model.mean) / model.std))
    met = []
    for tick in range(max(ticks) + 1):
        if tick in ticks:
            met.append((tick, state))
        state, _ = cell.step(state)
    return met

"""A Dale audit: whether influences have the sign that Dale's principle promises, and which component breaks it.

∂r_i/∂r_j (i ≠ j) should be non-negative for an excitatory neuron j and non-positive for an inhibitory one. The weights
have these signs; the norm's divisive coupling, the lateral inhibition and the signed corrections of the neuron-level
models need not keep them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tide.analysis.gauge import divisors
from tide.analysis.jacobian import batched_jacobian
from tide.analysis.trajectory import all_lateral_iterations, raw_preactivation, tide_cell
from tide.models.thinker import Thinker
from tide.models.tide import TideState

STAGES = ("weights", "norm", "lateral inhibition", "neuron-level models")


@dataclass(frozen=True)
class DaleAudit:
    """Share in [0, 1] of the influences, off the diagonal, that have the promised sign (zero counts as right).

    After each stage of a tick, ``weights`` being the step with the norm's divisor held: ``excitatory`` of ∂r_E/∂r_E,
    ``inhibitory`` of ∂r/∂r_I. ``broken_by``: the first stage that takes the sign from some, None where all keep it.
    """

    excitatory: dict[str, float]
    inhibitory: dict[str, float]

    @property
    def broken_by(self) -> str | None:
        """The first stage after which some influence has the wrong sign."""
        return next((stage for stage in STAGES if min(self.excitatory[stage], self.inhibitory[stage]) < 1), None)


def dale_audit(model: Thinker, state: TideState) -> DaleAudit:
    """Audit one tick from one sample's ``state`` (1, ...); ``model`` in float64."""
    cell, n_e = tide_cell(model), tide_cell(model).config.n_e
    jacobians = {"weights": _weights_only(model, state)}
    outputs: dict[str, Callable[[Tensor], Tensor]] = {
        "norm": lambda rates: _tick(model, state, rates)[0],
        "lateral inhibition": lambda rates: _tick(model, state, rates)[1],
        "neuron-level models": lambda rates: _tick(model, state, rates)[2],
    }
    with all_lateral_iterations(cell):
        for stage, output in outputs.items():
            jacobians[stage] = batched_jacobian(output, state.rates[0].detach())
    off = ~torch.eye(len(jacobians["weights"]), dtype=torch.bool)
    excitatory, inhibitory = {}, {}
    for stage, jacobian in jacobians.items():
        within = off[:n_e, :n_e]
        excitatory[stage] = float((jacobian[:n_e, :n_e][within] >= 0).double().mean())
        inhibitory[stage] = float((jacobian[:, n_e:][off[:, n_e:]] <= 0).double().mean())
    return DaleAudit(excitatory, inhibitory)


def _tick(model: Thinker, state: TideState, rates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the rates (B, D) after the step, after lateral inhibition, and after the corrections."""
    _, features = tide_cell(model).step(state.repeated(len(rates))._replace(rates=rates))
    inhibited = torch.cat((features.inhibited, features.rates[:, features.n_e :]), 1)
    return features.rates, inhibited, features.corrected


@torch.no_grad()
def _weights_only(model: Thinker, state: TideState) -> Tensor:
    """∂r/∂r of the step with the norm's divisor held: (1 − α) I + diag(α φ′ g / s) W_eff."""
    cell, weights = tide_cell(model), state.weights.dynamics
    h = raw_preactivation(cell, state)
    divisor = divisors(cell, h)
    normed = h / divisor * weights.gain
    slope = (normed > 0).to(h) if cell.config.activation == "relu" else torch.sigmoid(normed)
    factor = weights.alpha * (slope * weights.gain / divisor)[0]
    return torch.diag(1 - weights.alpha) + factor[:, None] * weights.recurrent.T

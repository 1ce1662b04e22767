"""The game along trajectories: distance from Nash equilibrium, whose energy falls, where there is no equilibrium.

Equations §4. Energies and residual are those of the core without norm and lateral inhibition, on raw weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tide.analysis.energies import energies, nash_residual
from tide.config import Activation
from tide.core.blocks import RecurrentBlocks


@dataclass(frozen=True)
class GameReport:
    """Along trajectories of T ticks over B images.

    ``nash_residual`` (T,): mean over images of the root mean square over neurons of x − [x − ∂E]₊ (ReLU's
    Karush-Kuhn-Tucker form). ``falling`` (T − 1,): share of neurons and images whose own energy falls by the step that
    the neuron took, the others held; ``rising_neurons``: the neurons, of greatest share first, whose energy rises most
    often. ``h_e`` = 1 − w̄_EE and ``h_i`` = 1 + w̄_II: where ``h_e`` < 0 there is no mean-field equilibrium.
    """

    nash_residual: Tensor
    falling: Tensor
    rising_neurons: Tensor
    h_e: float
    h_i: float


def game_report(rates: Tensor, drive: Tensor, blocks: RecurrentBlocks, activation: Activation) -> GameReport:
    """Return the game along trajectories, from rates and drive (T, B, D) in float64."""
    w = blocks.effective()
    residual = nash_residual(rates, w, drive).square().mean(2).sqrt().mean(1)
    falls = own_energy_change(rates, drive, w, activation) < 0
    rising = 1 - falls.double().mean((0, 1))
    return GameReport(
        nash_residual=residual,
        falling=falls.double().mean((1, 2)),
        rising_neurons=rising.argsort(descending=True),
        h_e=1 - float(blocks.ee.sum(1).mean()),
        h_i=1 + float(blocks.ii.sum(1).mean()),
    )


def own_energy_change(rates: Tensor, drive: Tensor, w_eff: Tensor, activation: Activation) -> Tensor:
    """Return how E_i changes when neuron i alone takes its step from tick t to t + 1, (T − 1, B, D).

    The other rates stay at tick t and the drive is that of tick t + 1, under which the step is taken. E_i is quadratic
    in the neuron's own rate but for φ⁻¹, so the change needs no D separate evaluations.
    """
    before, after, drive = rates[:-1], rates[1:], drive[1:]
    diagonal = w_eff.diagonal()
    others = before @ w_eff.mT - diagonal * before + drive  # what neuron i receives from all but itself
    zero = torch.zeros_like(w_eff)

    def own(x: Tensor) -> Tensor:
        # E_i with the others' input as drive, and the half of the self-connection that E_i counts.
        return energies(x, zero, others, activation) - 0.5 * diagonal * x.square()

    return own(after) - own(before)

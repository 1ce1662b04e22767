"""The game between the populations along trajectories, and the balance of excitation and inhibition.

Equations §4. Energies and residual are those of the core without norm and lateral inhibition, on raw weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tide.analysis.states import energies, nash_residual
from tide.nn.constraints import RecurrentBlocks
from tide.types import Activation


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


# Loose and tight balance of excitation and inhibition, and where the network lies among Brunel's regimes.
#
# Paper, Definition A.7 and Appendix C.5; Brunel, J. Comput. Neurosci. 8, 183 (2000).


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

"""What a TIDE model does tick by tick on given images, and the energies of its neurons."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tide.errors import InputError
from tide.evaluate.answers import evaluating
from tide.models.thinker import Thinker
from tide.models.ticks import AnyMoment, TideMoment
from tide.models.tide import TideCell, TideFeatures
from tide.types import Activation


class Trajectory(NamedTuple):
    """States before and features of every tick, T each; ``rates`` (T, B, D) are those of the dynamics."""

    states: list[TideMoment]
    features: list[TideFeatures]

    @property
    def rates(self) -> Tensor:
        """Rates of the Wilson-Cowan step, before the lateral inhibition, (T, B, D)."""
        return torch.stack([features.rates for features in self.features])

    @property
    def drive(self) -> Tensor:
        """Drive U o + b, (T, B, D)."""
        return torch.stack([features.drive for features in self.features])


class _Keeper:
    """Keeps the state after and the features of every tick."""

    def __init__(self) -> None:
        self.states: list[TideMoment] = []
        self.features: list[TideFeatures] = []

    def observe(self, moment: AnyMoment, features: Any) -> AnyMoment:
        self.states.append(moment)
        self.features.append(features)
        return moment


def follow(model: Thinker, images: Tensor, ticks: int | None = None) -> Trajectory:
    """Let ``model`` think about ``images`` (B, channels, H, W) in eval mode and keep everything.

    Raises :class:`~tide.errors.InputError` for a model without excitatory and inhibitory populations.
    """
    tide_cell(model)
    keeper = _Keeper()
    with evaluating(model):
        start = model.begin(images)
        model.run_ticks(start, keeper, ticks or model.config.core.ticks)
    return Trajectory([start, *keeper.states[:-1]], keeper.features)


def tide_cell(model: Thinker) -> TideCell:
    """Return the cell of a TIDE model; raises :class:`InputError` for one without the weights of two populations."""
    if not isinstance(model.cell, TideCell):
        raise InputError(
            f"this model's core is {model.config.core.kind}: it has no excitatory and inhibitory weights to analyse; "
            "give a run of a TIDE preset"
        )
    if model.kind.in_parts:
        raise InputError(
            "the model must take an input that stays, got one that takes a schedule; a map that changes with the input "
            "has no fixed points"
        )
    return model.cell


def exact_cell(model: Thinker) -> TideCell:
    """Return the cell as :func:`tide_cell` does, of a model in float64, in which residuals of 1e-8 mean something."""
    cell = tide_cell(model)
    if model.mean.dtype != torch.float64:
        kind = str(model.mean.dtype).removeprefix("torch.")
        raise InputError(f"the model must be float64, got {kind}; model.double(), or copy.deepcopy(model).double()")
    return cell


@contextmanager
def all_lateral_iterations(cell: TideCell) -> Iterator[None]:
    """Let the lateral inhibition take all its iterations for the time of the block.

    Stopping early would depend on the size of a perturbation.
    """
    was_training = cell.lateral.training
    cell.lateral.train()
    try:
        yield
    finally:
        cell.lateral.train(was_training)


@torch.no_grad()
def raw_preactivation(cell: TideCell, state: TideMoment) -> Tensor:
    """Return h = W_eff r + U o + b of the tick that follows ``state``, before the norm, (B, D)."""
    weights = state.context.weights.dynamics
    drive = torch.addmm(weights.bias, cell.read(state.context, state.state.latent).output, weights.input)
    return torch.addmm(drive, state.state.rates, weights.recurrent)


# Energies of single neurons: the recurrent core as a game (equations §4, "Energies"; paper, eq. 4 and Appendix C.3).
#
# Asymmetric weights admit no common energy, so every neuron i holds one that its own rate descends (Betteti et al.,
# arXiv:2512.05252); a state in which no neuron can lower its energy alone is a Nash equilibrium. All of this is for
# the core without norm and without lateral inhibition.
#
# The own slope −∂E_i/∂x_i = h_i − φ⁻¹(x_i) is not the velocity φ(h_i) − x_i: for a strictly increasing φ both have
# the same sign and zeros, for ReLU they are equal where h_i > 0.


_SERIES_TERMS = 50  # at 1/2, the largest argument, the 50th term is 4e-19


def energies(rates: Tensor, w_eff: Tensor, drive: Tensor, activation: Activation) -> Tensor:
    """Return E_i(x) = −x_i Σ_j (1 − δ_ij/2) W_ij x_j − u_i x_i + ∫₀^{x_i} φ⁻¹ of every neuron, (..., D).

    ``rates`` x and ``drive`` u are (..., D), ``w_eff`` is the signed matrix W (D, D), row = target. Rates are
    non-negative. By construction −∂E_i/∂x_i = h_i − φ⁻¹(x_i) with h = W x + u: the energy of neuron i falls along
    its own rate exactly where h_i exceeds the pre-activation that would hold the rate.
    """
    recurrent = rates @ w_eff.mT - 0.5 * w_eff.diagonal() * rates
    return inverse_activation_integral(rates, activation) - rates * (recurrent + drive)


def inverse_activation(rates: Tensor, activation: Activation) -> Tensor:
    """Return φ⁻¹(x) of non-negative rates in any shape: x for ReLU (on x ≥ 0), ln(eˣ − 1) for softplus."""
    if activation == "relu":
        return rates
    # ln(eˣ − 1) = x + ln(1 − e⁻ˣ); below ln 2 expm1 keeps the digits that 1 − e⁻ˣ would lose.
    return rates + torch.where(
        rates < math.log(2), torch.log(-torch.expm1(-rates)), torch.log1p(-torch.exp(-rates.clamp(min=math.log(2))))
    )


def inverse_activation_integral(rates: Tensor, activation: Activation) -> Tensor:
    """Return ∫₀ˣ φ⁻¹ of non-negative rates in any shape.

    ReLU: x²/2. Softplus: x²/2 + Li₂(e⁻ˣ) − π²/6, whose slope at x = 0 is −∞: a softplus neuron is never silent.
    """
    half_square = 0.5 * rates.square()
    if activation == "relu":
        return half_square
    near_zero = _dilogarithm_deficit(-torch.expm1(-rates), -rates)
    return half_square + torch.where(rates < math.log(2), near_zero, _series(torch.exp(-rates)) - math.pi**2 / 6)


def nash_residual(rates: Tensor, w_eff: Tensor, drive: Tensor) -> Tensor:
    """Return x − [x − ∂E]₊ for ReLU, (..., D): zero exactly at the Nash equilibria on x ≥ 0.

    It states the Karush-Kuhn-Tucker conditions in one line: where x_i > 0 the slope ∂E_i/∂x_i vanishes, where
    x_i = 0 it is not negative. The zeros are the fixed points x = [W x + u]₊. Shapes as in :func:`energies`.
    """
    slope = rates - (rates @ w_eff.mT + drive)
    return rates - torch.relu(rates - slope)


def _dilogarithm_deficit(complement: Tensor, log_z: Tensor) -> Tensor:
    """Return Li₂(z) − π²/6 by reflection, from 1 − z (accurate where z is near one) and ln z."""
    positive = complement > 0
    ratio = torch.where(positive, log_z / torch.where(positive, complement, 1.0), -1.0)
    # −ln z ln(1 − z), written with entr(x) = −x ln x, which is 0 with the right infinite slope at x = 0.
    product: Tensor = ratio * torch.special.entr(complement)
    return product - _series(complement)


def _series(z: Tensor) -> Tensor:
    """Return Σ_k zᵏ/k² by Horner's rule; accurate to float64 on [0, 1/2]."""
    total = torch.zeros_like(z)
    for k in range(_SERIES_TERMS, 0, -1):
        total = z * (total + 1 / k**2)
    return total

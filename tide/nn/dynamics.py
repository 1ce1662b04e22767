"""Wilson-Cowan dynamics of an excitatory and an inhibitory population (equations §2.2, §2.3).

Both populations are held in one tensor (B, D), excitatory neurons first. The four non-negative matrices form the
signed effective matrix W_eff = [[W_EE, -W_EI], [W_IE, -W_II]], composed once per forward pass, so that a tick costs
one matrix product instead of four.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tide.errors import ConfigError
from tide.nn.constraints import (
    NON_NEGATIVE,
    Bounded,
    RecurrentBlocks,
    certified_norm,
    certified_rate,
    project_contraction_,
    project_lds_,
)
from tide.nn.weights import held, refresh
from tide.types import Activation, Guarantee, RateNorm, RatioNormalization, Start

RMS_EPSILON = 1e-12  # added to a mean square: keeps the gradient finite at h = 0, too small to break the scale gauge
RATIO_EPSILON = 1e-6


def activate(h: Tensor, activation: Activation) -> Tensor:
    """Apply the activation φ: non-negative, slope at most one."""
    return F.relu(h) if activation == "relu" else F.softplus(h)


def population_norm(h: Tensor, n_e: int, norm: RateNorm) -> Tensor:
    """Normalise pre-activations (B, D) by :func:`norm_divisors`, without gain and offset."""
    if norm == "none":
        return h
    if norm == "layer":
        h = centred(h, n_e)
    return h * per_neuron(norm_divisors(h, n_e, norm).reciprocal(), n_e, h.shape[1])


def norm_divisors(h: Tensor, n_e: int, norm: RateNorm) -> Tensor:
    """Return what the norm divides the pre-activations (B, D) of both populations by, (B, 2).

    ``"rms"``: rms(h) of each population. ``"rms_cap"``: max(1, rms(h)), so that the norm is the radial projection onto
    a ball, Lipschitz constant 1. ``"rms_shared"``: one rms over all neurons. ``"none"``: 1. No mean is subtracted: the
    mean carries the E-I balance. ``"layer"`` is the exception: ``h`` is then :func:`centred`, and what is lost comes
    back as a learned offset of each neuron (LayerNorm of each population; ours, not the paper's).
    """
    if norm == "none":
        return torch.ones_like(h[:, :2])
    if norm == "layer":
        h = centred(h, n_e)
    square = h * h
    if norm == "rms_shared":
        return square.mean(1, keepdim=True).add(RMS_EPSILON).sqrt().expand(-1, 2)
    rms = torch.stack((square[:, :n_e].mean(1), square[:, n_e:].mean(1)), 1).add(RMS_EPSILON).sqrt()
    return rms.clamp(min=1.0) if norm == "rms_cap" else rms


def centred(h: Tensor, n_e: int) -> Tensor:
    """Subtract from pre-activations (B, D) the mean of each population."""
    means = torch.stack((h[:, :n_e].mean(1), h[:, n_e:].mean(1)), 1)
    return h - per_neuron(means, n_e, h.shape[1])


def per_neuron(values: Tensor, n_e: int, neurons: int) -> Tensor:
    """Spread one value per population (B, 2) over its neurons, (B, D)."""
    return torch.cat((values[:, :1].expand(-1, n_e), values[:, 1:].expand(-1, neurons - n_e)), 1)


def ei_ratio(rates: Tensor, n_e: int, normalization: RatioNormalization = "sum") -> Tensor:
    """Return the E-I activity ratio Σ r_E / (Σ r_I + ε) of rates (..., D) as (...); ``"per_neuron"`` takes means."""
    reduce = torch.sum if normalization == "sum" else torch.mean
    return reduce(rates[..., :n_e], -1) / (reduce(rates[..., n_e:], -1) + RATIO_EPSILON)


class DynamicsWeights(NamedTuple):
    """Weights composed once per forward pass: W_effᵀ (D, D), Uᵀ (d_attn, D), b (D), gain (D), α = Δt/τ (D).

    ``offset`` (D) is that of norm ``"layer"``, None under all others.
    """

    recurrent: Tensor
    input: Tensor
    bias: Tensor
    gain: Tensor
    alpha: Tensor
    offset: Tensor | None = None


def normalised(h: Tensor, weights: DynamicsWeights, n_e: int, norm: RateNorm) -> Tensor:
    """Return what the activation is of: pre-activations (B, D) after the norm, with gain and offset."""
    h = population_norm(h, n_e, norm) * weights.gain
    return h if weights.offset is None else h + weights.offset


class WilsonCowanStep(NamedTuple):
    """One Euler step, each (B, D): new rates, φ(h), h after the norm, and the drive U o + b."""

    rates: Tensor
    activation: Tensor
    preactivation: Tensor
    drive: Tensor


def euler_step(
    rates: Tensor, drive: Tensor, weights: DynamicsWeights, n_e: int, activation: Activation, norm: RateNorm
) -> WilsonCowanStep:
    """Advance rates (B, D) by one Euler step of τ dr/dt = −r + φ(g ⊙ N(W_eff r + drive)) (paper, eq. 2 and 3)."""
    h = torch.addmm(drive, rates, weights.recurrent)
    h = normalised(h, weights, n_e, norm)
    target = activate(h, activation)
    return WilsonCowanStep(torch.lerp(rates, target, weights.alpha), target, h, drive)


class WilsonCowan(Bounded):
    """Two populations of neurons: τ dr/dt = −r + φ(g ⊙ N(W_eff r + U x + b)), by Euler steps (paper, eq. 2 and 3).

    ::

        core = WilsonCowan(neurons=100, inputs=32)
        rates = core.initial(batch)                 # (B, 100), 80 excitatory neurons first
        rates = core(rates, x).rates                # one step of dt, driven by x (B, 32)
        tide.nn.project_(network)                   # after each optimiser step: Dale's principle

    Args:
        neurons: D, excitatory and inhibitory together.
        inputs: width of the input x.
        e_fraction: share of excitatory neurons, n_E = round(e_fraction · D).
        tau_e, tau_i: time constants in ms.
        dt: Euler step in ms, at most the shorter time constant.
        activation: φ, ``"relu"`` or ``"softplus"``.
        norm: N, see :func:`norm_divisors`.
        dale: whether :func:`~tide.nn.project_` keeps the four matrices non-negative.
        inhibition: whether I inhibits E; without it W_EI = 0.
        guarantee: stability that holds after each projection (:mod:`tide.nn.constraints`); needs ``norm="rms_cap"``.
        start_rates: the learned start rates of E and of I are drawn uniform from 0 to these.
        start: where the matrices start, ``"weak"`` or ``"balanced"``, see :func:`balanced_`.
        start_gain: scale of the balanced start.

    Raises:
        ConfigError: fewer than one neuron in a population, or a step longer than a time constant.
    """

    def __init__(
        self,
        neurons: int,
        inputs: int,
        *,
        e_fraction: float = 0.8,
        tau_e: float = 5.0,
        tau_i: float = 20.0,
        dt: float = 1.0,
        activation: Activation = "relu",
        norm: RateNorm = "rms",
        dale: bool = True,
        inhibition: bool = True,
        guarantee: Guarantee = "none",
        start_rates: tuple[float, float] = (0.8, 0.8),
        start: Start = "weak",
        start_gain: float = 1.0,
    ) -> None:
        super().__init__()
        n_e = round(e_fraction * neurons)
        n_i = neurons - n_e
        if n_e < 1 or n_i < 1:
            raise ConfigError(
                f"each population must have at least 1 neuron, got {n_e} E and {n_i} I; change e_fraction"
            )
        if not 0 < dt <= min(tau_e, tau_i):
            raise ConfigError(f"dt must be above 0 and at most both time constants, got {dt}; a longer step overshoots")
        self.n_e, self.n_i = n_e, n_i
        self.tau_e, self.tau_i, self.alpha_e, self.alpha_i = tau_e, tau_i, dt / tau_e, dt / tau_i
        self.activation: Activation = activation
        self.norm: RateNorm = norm
        self.guarantee: Guarantee = guarantee
        self.dale = dale
        self.w_ee = _uniform(n_e, n_e, 1.6)  # λ_P ≈ 0.8, clear of the boundary H_E = 0 of the game
        self.w_ei = _uniform(n_e, n_i, 2.0) if inhibition else None
        self.w_ie = _uniform(n_i, n_e, 2.0)
        self.w_ii = _uniform(n_i, n_i, 2.0)
        self.input = nn.Linear(inputs, neurons)
        if start == "balanced":
            balanced_(self.blocks(), start_gain)
        self.gain = nn.Parameter(torch.ones(neurons))
        self.offset = nn.Parameter(torch.zeros(neurons)) if norm == "layer" else None
        highest = per_neuron(torch.tensor([start_rates]), n_e, neurons)[0]
        self.start = nn.Parameter(torch.rand(neurons) * highest)
        self.restrain_()

    def bounds(self) -> dict[str, tuple[float, float]]:
        """Matrices, gains and start rates are non-negative; a negative gain would turn excitation into inhibition.

        Without ``dale`` the matrices are free. Under ``"rms_cap"`` a gain is at most one: above it the norm's Lipschitz
        constant of one would be lost.
        """
        matrices = ["w_ee", "w_ie", "w_ii"] + ["w_ei"] * (self.w_ei is not None)
        gain = (0.0, 1.0) if self.norm == "rms_cap" else NON_NEGATIVE
        return {name: NON_NEGATIVE for name in matrices * self.dale} | {"start": NON_NEGATIVE, "gain": gain}

    def restrain_(self) -> None:
        """Bring the matrices to where the guarantee holds (:mod:`tide.nn.constraints`)."""
        if self.guarantee == "contraction":
            project_contraction_(self.blocks())
        elif self.guarantee == "lds":
            project_lds_(self.blocks(), self)

    def blocks(self) -> RecurrentBlocks:
        """Return the four recurrent matrices; W_EI is zero without inhibition."""
        w_ei = self.w_ei if self.w_ei is not None else self.w_ee.new_zeros(self.n_e, self.n_i)
        return RecurrentBlocks(self.w_ee, w_ei, self.w_ie, self.w_ii)

    def certified_rate(self) -> float | None:
        """Return the factor per tick by which the guarantee certifies that differences shrink, None without one."""
        return certified_rate(self.blocks(), self, self.guarantee)

    def certified_norm(self, differences: Tensor) -> Tensor:
        """Return the norm in which the guarantee certifies its rate, of differences of rates (..., D), as (...)."""
        return certified_norm(differences, self.blocks(), self, self.guarantee)

    def initial(self, batch: int) -> Tensor:
        """Return the learned start rates of each sample, (B, D)."""
        return self.start.expand(batch, -1)

    def compose(self) -> DynamicsWeights:
        """Compose what every tick uses."""
        refresh(self)
        neurons = self.n_e + self.n_i
        weight, bias = held(self.input)
        assert bias is not None
        alpha = per_neuron(self.gain.new_tensor([[self.alpha_e, self.alpha_i]]), self.n_e, neurons)[0]
        recurrent = self.blocks().effective().t()
        return DynamicsWeights(recurrent, weight.t(), bias, self.gain, alpha, self.offset)

    def forward(self, rates: Tensor, x: Tensor, weights: DynamicsWeights | None = None) -> WilsonCowanStep:
        """Advance ``rates`` (B, D) by one step, driven by ``x`` (B, inputs).

        ``weights`` are those of :meth:`compose`, which a loop over ticks composes once.
        """
        weights = self.compose() if weights is None else weights
        drive = torch.addmm(weights.bias, x, weights.input)
        return euler_step(rates, drive, weights, self.n_e, self.activation, self.norm)


def _uniform(rows: int, columns: int, width: float) -> nn.Parameter:
    """Uniform on [0, width / fan_in]."""
    return nn.Parameter(torch.rand(rows, columns) * (width / columns))


@torch.no_grad()
def balanced_(blocks: RecurrentBlocks, gain: float = 1.0) -> None:
    """Draw the four matrices, in place, exponential and balanced: each row inhibits as much as it excites.

    From E the mean is m = gain/√(n_E (1 + n_E/n_I)), from I m n_E/n_I, so that a row's entries have the variance gain²
    in all and weights are of the order 1/√K of so many inputs: the tight balance of the paper's Definition A.7, which
    the weak start, uniform on [0, 2/fan_in], has not. A population that nothing inhibits keeps its excitation.
    """
    n_e, n_i = blocks.ei.shape
    ratio = n_e / n_i
    mean = gain / (n_e * (1 + ratio)) ** 0.5
    for excite, inhibit in ((blocks.ee, blocks.ei), (blocks.ie, blocks.ii)):
        excite.exponential_().mul_(mean)
        inhibit.exponential_().mul_(excite.sum(1, keepdim=True) / inhibit.sum(1, keepdim=True))


def perron_estimate(matrix: Tensor, iterations: int = 20) -> Tensor:
    """Return ρ̂ = 1ᵀW v / 1ᵀv of a non-negative matrix (n, n) after power iterations v ← W v / ‖W v‖₁ from uniform v.

    The differentiable estimate of its Perron eigenvalue (equations §4, "Perron surrogate"): a ratio of sums, without
    warm start. Known limits: zero and nilpotent matrices give 0; a periodic matrix alternates about its Perron value;
    after finitely many iterations the estimate may exceed ‖W‖₂ slightly.
    """
    v = matrix.new_full((matrix.shape[0],), 1.0 / matrix.shape[0])
    for _ in range(iterations):
        image = matrix @ v
        v = image / _safe(image.sum())
    return (matrix @ v).sum() / _safe(v.sum())


def _safe(total: Tensor) -> Tensor:
    """Replace a zero divisor by one: a nilpotent W drives v to exactly zero, where 0/0 would poison the gradient."""
    return torch.where(total > 0, total, torch.ones_like(total))

"""An excitatory-inhibitory recurrent layer with the signature of ``nn.RNN``: rate networks under Dale's principle.

Neurons are excitatory first, then inhibitory. Rates follow τ dr/dt = −r + φ(N(W r + U x + b + ξ)) (Wilson and Cowan
1972), or currents τ dh/dt = −h + W φ(h) + U x + b + ξ (Song, Yang and Wang, PLOS Computational Biology 2016), both by
Euler steps of dt.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils.rnn import PackedSequence

from tide.errors import ConfigError, InputError, short_repr
from tide.nn.constraints import (
    NON_NEGATIVE,
    Bounded,
    RecurrentBlocks,
    certified_rate,
    project_contraction_,
    project_lds_,
)
from tide.nn.dynamics import balanced_, population_norm
from tide.nn.weights import refresh
from tide.types import Guarantee

Dynamics = Literal["rates", "currents"]
Dale = Literal["projection", "magnitude", "none"]
Norm = Literal["none", "rms", "rms_cap"]
Nonlinearity = Literal["relu", "softplus", "retanh"]
OPTIONS: dict[str, tuple[str, ...]] = {
    "dynamics": ("rates", "currents"),
    "dale": ("projection", "magnitude", "none"),
    "norm": ("none", "rms", "rms_cap"),
    "activation": ("relu", "softplus", "retanh"),
    "guarantee": ("none", "contraction", "lds"),
}


def activate(h: Tensor, activation: Nonlinearity) -> Tensor:
    """Apply φ: not negative, slope at most one; ``retanh`` is the hyperbolic tangent of what is above zero."""
    if activation == "softplus":
        return nn.functional.softplus(h)
    rectified = torch.relu(h)
    return rectified if activation == "relu" else torch.tanh(rectified)


def slope(h: Tensor, activated: Tensor, activation: Nonlinearity) -> Tensor:
    """Return φ′(h), given φ(h) too."""
    if activation == "softplus":
        return torch.sigmoid(h)
    positive = (h > 0).to(h)
    return positive if activation == "relu" else positive * (1 - activated * activated)


class EICell(Bounded):
    """One Euler step of an excitatory-inhibitory population: ``output, h = cell(x, h)``.

    Args:
        input_size: numbers of an input, n.
        hidden_size: neurons H, excitatory and inhibitory together.
        e_fraction: share of excitatory neurons; ``e_size`` = round(e_fraction · H).
        dt: Euler step in ms.
        tau_e, tau_i: time constants in ms, a number or one for each neuron of the population.
        dynamics: ``"rates"`` or ``"currents"``, see above; of currents the state h is the current, the output φ(h).
        noise: σ: ξ has the standard deviation σ √(2/α), α = dt/τ, so that a step adds σ √(2 α) to the state.
        noise_in_eval: whether there is noise in eval mode, too.
        generator: source of the noise; torch's own by default.
        dale: how signs are kept: ``"projection"`` (:func:`tide.nn.project_` after each step clips), ``"magnitude"``
            (weights enter by their magnitude), ``"none"``.
        balanced: whether each row starts with as much inhibition as excitation.
        autapses: whether neurons connect to themselves.
        mask: fixed 0/1 matrix (H, H) of the connections that exist; row = target.
        norm: norm of what goes into φ, per population, see :func:`tide.nn.dynamics.norm_divisors`; of rates only.
        activation: φ.
        nonnegative_input: whether input weights are kept non-negative, too.
        guarantee: stability that holds after each projection (:mod:`tide.nn.constraints`), of rates; needs
            ``dale="projection"`` and a norm other than ``"rms"``.
        bias: whether there is a bias.

    Raises:
        ConfigError: sizes, time constants, noise, mask or options out of range.
    """

    signs: Tensor
    mask: Tensor | None
    alpha: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        e_fraction: float = 0.8,
        dt: float = 20.0,
        tau_e: float | Tensor = 100.0,
        tau_i: float | Tensor = 100.0,
        dynamics: Dynamics = "rates",
        noise: float = 0.0,
        noise_in_eval: bool = False,
        generator: torch.Generator | None = None,
        dale: Dale = "projection",
        balanced: bool = True,
        autapses: bool = False,
        mask: Tensor | None = None,
        norm: Norm = "none",
        activation: Nonlinearity = "relu",
        nonnegative_input: bool = False,
        guarantee: Guarantee = "none",
        bias: bool = True,
    ) -> None:
        super().__init__()
        given = {"dynamics": dynamics, "dale": dale, "norm": norm, "activation": activation, "guarantee": guarantee}
        for name, value in given.items():
            if value not in OPTIONS[name]:
                raise ConfigError(f"{name} must be one of {', '.join(OPTIONS[name])}, got {short_repr(value)}")
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if not isinstance(size, int) or size < 1:
                raise ConfigError(f"{name} must be a whole number of at least 1, got {short_repr(size)}")
        if not 0 < e_fraction <= 1 or round(e_fraction * hidden_size) < 1:
            raise ConfigError(f"e_fraction must be above 0 and at most 1, with one neuron or more, got {e_fraction}")
        if not noise >= 0 or not math.isfinite(noise):
            raise ConfigError(f"noise must be at least 0, got {short_repr(noise)}")
        if norm != "none" and dynamics == "currents":
            raise ConfigError(f"norm must be none with dynamics currents, got {norm}")
        self.input_size, self.hidden_size = input_size, hidden_size
        self.e_size = round(e_fraction * hidden_size)
        self.i_size = hidden_size - self.e_size
        if guarantee != "none" and (dale != "projection" or dynamics != "rates" or norm == "rms" or self.i_size == 0):
            raise ConfigError(
                f"guarantee must be none but for dale projection, dynamics rates, norm none or rms_cap and both "
                f"populations, got {guarantee} with {dale}, {dynamics}, {norm} and {self.i_size} inhibitory neurons"
            )
        self.dt, self.noise, self.noise_in_eval, self.generator = dt, float(noise), noise_in_eval, generator
        self.dynamics, self.dale, self.norm, self.activation = dynamics, dale, norm, activation
        self.nonnegative_input, self.guarantee = nonnegative_input, guarantee
        self.register_buffer("alpha", self._alpha(tau_e, tau_i), persistent=False)
        # What a guarantee is about: the slowest neuron of each population.
        self.n_e, self.n_i = self.e_size, self.i_size
        self.tau_e, self.tau_i = (float(torch.as_tensor(tau).max()) for tau in (tau_e, tau_i))
        self.alpha_e, self.alpha_i = dt / self.tau_e, dt / self.tau_i
        signs = torch.ones(hidden_size)
        signs[self.e_size :] = -1
        self.register_buffer("signs", signs, persistent=False)
        self.register_buffer("mask", self._mask(mask, autapses), persistent=False)
        self.weight_ih = nn.Parameter(torch.empty(hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(hidden_size)) if bias else None
        self.balanced = balanced
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights: inputs uniform on ±1/√n, recurrent ones exponential, of order 1/√H where balanced."""
        bound = 1 / math.sqrt(self.input_size)
        nn.init.uniform_(self.weight_ih, -bound, bound)
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        with torch.no_grad():
            if self.nonnegative_input:
                self.weight_ih.abs_()
            if self.balanced and self.i_size > 0:
                balanced_(self.blocks(), 0.5)
            else:
                self.weight_hh.exponential_().mul_(1 / self.hidden_size)
            if self.dale == "none":
                self.weight_hh.mul_(self.signs)
            elif self.dale == "magnitude":
                self.weight_hh.mul_(torch.randint_like(self.weight_hh, 2) * 2 - 1)
            if self.mask is not None:
                self.weight_hh.mul_(self.mask)
        self.restrain_()

    def effective_weight(self) -> Tensor:
        """Return the signed recurrent matrix (H, H), row = target neuron."""
        weight: Tensor = self.weight_hh
        if self.dale == "magnitude":
            weight = weight.abs()
        if self.dale != "none":
            weight = weight * self.signs
        return weight if self.mask is None else weight * self.mask

    def bounds(self) -> dict[str, tuple[float, float]]:
        """Recurrent weights are kept non-negative by projection; so are input weights where they are asked to be."""
        bounded = {"weight_hh": self.dale == "projection", "weight_ih": self.nonnegative_input}
        return {name: NON_NEGATIVE for name, holds in bounded.items() if holds}

    def restrain_(self) -> None:
        """Bring the matrices to where the guarantee holds."""
        if self.guarantee == "contraction":
            project_contraction_(self.blocks())
        elif self.guarantee == "lds":
            project_lds_(self.blocks(), self)

    def blocks(self) -> RecurrentBlocks:
        """Return the four blocks W_EE, W_EI, W_IE, W_II without their signs: views of the weights."""
        e, weight = self.e_size, self.weight_hh.data
        return RecurrentBlocks(weight[:e, :e], weight[:e, e:], weight[e:, :e], weight[e:, e:])

    def certified_rate(self) -> float | None:
        """Return the factor per step by which the guarantee certifies that differences shrink, None without one."""
        return certified_rate(self.blocks(), self, self.guarantee)

    def excitatory(self, values: Tensor) -> Tensor:
        """Return the part of values (..., H) that is of excitatory neurons: what leaves a cortical area."""
        return values[..., : self.e_size]

    def inhibitory(self, values: Tensor) -> Tensor:
        """Return the part of values (..., H) that is of inhibitory neurons."""
        return values[..., self.e_size :]

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Advance by one step: x (B, n), state h (B, H), zeros by default; return output and new state, (B, H) each."""
        if x.dim() != 2 or x.shape[1] != self.input_size:
            raise InputError(f"x must have shape (batch, {self.input_size}), got {tuple(x.shape)}")
        start = x.new_zeros(len(x), self.hidden_size) if h is None else h
        output, state = self.sweep(x[None], start)
        return output[0], state

    def sweep(self, x: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """Run over inputs (L, B, n) from a state (B, H); return outputs (L, B, H) and the last state (B, H)."""
        refresh(self)
        drive = nn.functional.linear(x, self.weight_ih, self.bias)
        if self.noise > 0 and (self.training or self.noise_in_eval):
            scale = self.noise * (2 / self.alpha).sqrt()
            drive = drive + scale * torch.randn(
                drive.shape, generator=self.generator, dtype=drive.dtype, device=drive.device
            )
        weight = self.effective_weight()
        if self.norm != "none":
            return self._normalised(drive, start, weight)
        states: Tensor = _Sweep.apply(  # type: ignore[no-untyped-call]
            drive, start, weight, self.alpha, self.dynamics, self.activation
        )
        output = states if self.dynamics == "rates" else activate(states, self.activation)
        return output, states[-1]

    def _normalised(self, drive: Tensor, rates: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Run step by step, by autograd."""
        outputs, transposed = [], weight.t()
        for step in drive:
            h = population_norm(torch.addmm(step, rates, transposed), self.e_size, self.norm)
            rates = torch.lerp(rates, activate(h, self.activation), self.alpha)
            outputs.append(rates)
        return torch.stack(outputs), rates

    def _alpha(self, tau_e: float | Tensor, tau_i: float | Tensor) -> Tensor:
        parts = []
        for name, tau, size in (("tau_e", tau_e, self.e_size), ("tau_i", tau_i, self.i_size)):
            value = torch.as_tensor(tau, dtype=torch.get_default_dtype())
            if value.dim() > 1 or (value.dim() == 1 and len(value) != size):
                raise ConfigError(
                    f"{name} must be a number or one for each of {size} neurons, got {tuple(value.shape)}"
                )
            if size and not bool((value >= self.dt).all() and self.dt > 0):
                raise ConfigError(
                    f"dt must be above 0 and at most {name} = {float(value.min()):g} ms, got {self.dt:g}; a longer "
                    "step overshoots"
                )
            parts.append((self.dt / value).expand(size))
        return torch.cat(parts)

    def _mask(self, mask: Tensor | None, autapses: bool) -> Tensor | None:
        size = self.hidden_size
        if mask is not None:
            mask = torch.as_tensor(mask, dtype=torch.get_default_dtype())
            if tuple(mask.shape) != (size, size) or not bool(((mask == 0) | (mask == 1)).all()):
                raise ConfigError(f"mask must be 0 and 1 of shape ({size}, {size}), got {tuple(mask.shape)}")
        if autapses:
            return mask
        off = 1 - torch.eye(size)
        return off if mask is None else mask * off

    def extra_repr(self) -> str:
        """Say what it is."""
        return (
            f"{self.input_size}, {self.hidden_size}: {self.e_size} E + {self.i_size} I, dt={self.dt:g} ms, "
            f"{self.dynamics}, dale={self.dale}"
        )


class _Sweep(torch.autograd.Function):
    """All Euler steps at once, and their backward pass by hand: the weights' gradient is one product over all steps."""

    @staticmethod
    def forward(
        ctx: Any, drive: Tensor, start: Tensor, weight: Tensor, alpha: Tensor, dynamics: str, activation: Any
    ) -> Tensor:
        transposed, steps = weight.t().contiguous(), len(drive)
        states, inputs = torch.empty_like(drive), torch.empty_like(drive)
        state = start
        if dynamics == "rates":
            for t in range(steps):
                torch.addmm(drive[t], state, transposed, out=inputs[t])
                torch.lerp(state, activate(inputs[t], activation), alpha, out=states[t])
                state = states[t]
            activated = inputs.new_empty(0)
        else:
            activated = torch.empty_like(drive)  # φ of the state before each step
            for t in range(steps):
                activated[t] = activate(state, activation)
                torch.addmm(drive[t], activated[t], transposed, out=inputs[t])
                torch.lerp(state, inputs[t], alpha, out=states[t])
                state = states[t]
        ctx.save_for_backward(states, inputs, activated, start, weight, alpha)
        ctx.dynamics, ctx.activation = dynamics, activation
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        states, inputs, activated, start, weight, alpha = ctx.saved_tensors
        kept = 1 - alpha
        g_drive = torch.empty_like(states)
        carried = torch.zeros_like(start)
        if ctx.dynamics == "rates":
            slopes = slope(inputs, activate(inputs, ctx.activation), ctx.activation).mul_(alpha)
            for t in range(len(states) - 1, -1, -1):
                g = gradient[t] + carried
                torch.mul(g, slopes[t], out=g_drive[t])
                carried = torch.addmm(g * kept, g_drive[t], weight)
            before = torch.cat((start[None], states[:-1]))
        else:
            earlier = torch.cat((start[None], states[:-1]))
            slopes = slope(earlier, activated, ctx.activation)
            for t in range(len(states) - 1, -1, -1):
                g = gradient[t] + carried
                torch.mul(g, alpha, out=g_drive[t])
                carried = torch.addcmul(g * kept, g_drive[t] @ weight, slopes[t])
            before = activated
        g_weight = None
        if ctx.needs_input_grad[2]:
            g_weight = g_drive.flatten(0, 1).t() @ before.flatten(0, 1)
        return g_drive, carried, g_weight, None, None, None


class EIRNN(nn.Module):
    """Layers of :class:`EICell` over time, with the signature of ``nn.RNN``.

    ::

        rnn = tide.nn.EIRNN(3, 100, dt=20.0, tau_e=100.0, tau_i=100.0, noise=0.15)
        output, h_n = rnn(x)                # x (time, batch, 3) → (time, batch, 100), h_n (1, batch, 100)
        output, h_n = rnn(x, h_n)           # goes on
        rnn.excitatory(output)              # (time, batch, 80): what a read-out may see under Dale's principle
        loss.backward(); optimizer.step(); tide.nn.project_(rnn)

    A further layer reads the excitatory neurons of the one below.

    Args:
        input_size, hidden_size: as of ``nn.RNN``.
        num_layers: layers, one above the other.
        batch_first: whether inputs and outputs are (batch, time, ...).
        learned_start: whether each layer begins in a learned state instead of zeros.
        **options: as of :class:`EICell`.

    Raises:
        ConfigError: as :class:`EICell`, or fewer than one layer.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        batch_first: bool = False,
        learned_start: bool = False,
        **options: Any,
    ) -> None:
        super().__init__()
        if not isinstance(num_layers, int) or num_layers < 1:
            raise ConfigError(f"num_layers must be at least 1, got {short_repr(num_layers)}")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.batch_first = batch_first
        first = EICell(input_size, hidden_size, **options)
        further = (EICell(first.e_size, hidden_size, **options) for _ in range(num_layers - 1))
        self.cells = nn.ModuleList((first, *further))
        self.h0 = nn.Parameter(torch.zeros(num_layers, hidden_size)) if learned_start else None

    @property
    def cell(self) -> EICell:
        """The last layer."""
        last = self.cells[-1]
        assert isinstance(last, EICell)
        return last

    def excitatory(self, output: Tensor) -> Tensor:
        """Return the excitatory neurons' part of an output (..., H)."""
        return self.cell.excitatory(output)

    def inhibitory(self, output: Tensor) -> Tensor:
        """Return the inhibitory neurons' part of an output (..., H)."""
        return self.cell.inhibitory(output)

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run over a sequence.

        Args:
            x: (time, batch, input_size), (batch, time, input_size) with ``batch_first``, or (time, input_size).
            h: state of every layer, (layers, batch, hidden_size); where it is left out the start.

        Returns:
            Outputs of the last layer at every step, and the last state of every layer.

        Raises:
            InputError: another shape, or a PackedSequence.
        """
        if isinstance(x, PackedSequence):
            raise InputError("x must be a tensor, got a PackedSequence; pad the sequences and mask the loss")
        single = x.dim() == 2
        if x.dim() not in (2, 3) or x.shape[-1] != self.input_size:
            raise InputError(f"x must have shape (time, batch, {self.input_size}), got {tuple(x.shape)}")
        if single:
            x = x[:, None]
        elif self.batch_first:
            x = x.transpose(0, 1)
        batch = x.shape[1]
        if h is None:
            start = x.new_zeros(self.num_layers, batch, self.hidden_size) if self.h0 is None else self.h0[:, None]
            h = start.expand(-1, batch, -1)
        elif single:
            h = h[:, None]
        expected = (self.num_layers, batch, self.hidden_size)
        if tuple(h.shape) != expected:
            swapped = "; are batch and time swapped? (batch_first)" if h.shape[1:2] == x.shape[:1] else ""
            raise InputError(f"h must have shape {expected}, got {tuple(h.shape)}{swapped}")
        states, output = [], x
        for number, (cell, start) in enumerate(zip(self.cells, h, strict=True)):
            assert isinstance(cell, EICell)
            output, state = cell.sweep(output if number == 0 else cell.excitatory(output), start)
            states.append(state)
        h_n = torch.stack(states)
        if single:
            return output[:, 0], h_n[:, 0]
        return (output.transpose(0, 1) if self.batch_first else output), h_n

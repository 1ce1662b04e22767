"""Neuron-level models: each neuron corrects its rate from its own recent history (equations §2.5, §2.6)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tide.nn.weights import refresh


class NeuronModelWeights(NamedTuple):
    """Weights composed once per forward pass.

    First layer with the temporal kernel folded in (D, M, 2h) and its bias (D, 1, 2h); second layer (D, h, 2) and
    its bias (D, 1, 2).
    """

    first: Tensor
    first_bias: Tensor
    second: Tensor
    second_bias: Tensor


def exponential_kernel(length: int, tau: float, dt: float, like: Tensor) -> Tensor:
    """Return κ_m ∝ exp(−age_m Δt/τ) of a history of ``length`` ticks, oldest first, with Σκ = 1 (paper, §4.2)."""
    age = torch.arange(length - 1, -1, -1, device=like.device, dtype=like.dtype)
    return torch.softmax(age * (-dt / tau), dim=0)


def push(history: Tensor, newest: Tensor) -> Tensor:
    """Drop the oldest entry of a history (D, B, M) and append ``newest`` (B, D)."""
    return torch.cat((history[:, :, 1:], newest.t().unsqueeze(2)), dim=2)


class NeuronModels(nn.Module):
    """A two-layer gated network per neuron over its weighted history; E and I differ in the temporal kernel.

    The history holds post-activations, neurons first: (D, B, M), newest entry last. That order makes both layers
    one batched matrix product over neurons without a transposed copy. Pre-activations are never stored: through
    the feedback they would excite themselves.

    Args:
        n_e, n_i: excitatory and inhibitory neurons.
        length: M, ticks of the history.
        hidden: hidden units h of each neuron's network.
        tau_e, tau_i: time constants of the kernels in ms.
        dt: ms of a tick.
    """

    def __init__(
        self,
        n_e: int,
        n_i: int,
        *,
        length: int = 25,
        hidden: int = 4,
        tau_e: float = 5.0,
        tau_i: float = 20.0,
        dt: float = 1.0,
    ) -> None:
        super().__init__()
        self.n_e, self.n_i, self.length, self.tau_e, self.tau_i, self.dt = n_e, n_i, length, tau_e, tau_i, dt
        neurons = n_e + n_i
        # Scaled up by √M from the usual 1/√fan_in: the kernel averages over the history.
        self.first = nn.Parameter(torch.empty(neurons, length, 2 * hidden).uniform_(-1.0, 1.0))
        self.first_bias = nn.Parameter(torch.zeros(neurons, 1, 2 * hidden))
        bound = 1 / math.sqrt(hidden)
        self.second = nn.Parameter(torch.empty(neurons, hidden, 2).uniform_(-bound, bound))
        self.second_bias = nn.Parameter(torch.zeros(neurons, 1, 2))

    def compose(self) -> NeuronModelWeights:
        """Fold the kernel of each population into the first layer."""
        refresh(self)
        kernel_e = exponential_kernel(self.length, self.tau_e, self.dt, self.first)
        kernel_i = exponential_kernel(self.length, self.tau_i, self.dt, self.first)
        kernel = torch.cat((kernel_e.expand(self.n_e, -1), kernel_i.expand(self.n_i, -1)))
        return NeuronModelWeights(self.first * kernel[:, :, None], self.first_bias, self.second, self.second_bias)

    def forward(self, history: Tensor, weights: NeuronModelWeights | None = None) -> Tensor:
        """Return the signed correction c of every neuron (B, D) from the history (D, B, M)."""
        weights = self.compose() if weights is None else weights
        hidden = F.glu(torch.baddbmm(weights.first_bias, history, weights.first), dim=-1)
        return F.glu(torch.baddbmm(weights.second_bias, hidden, weights.second), dim=-1).squeeze(2).t()

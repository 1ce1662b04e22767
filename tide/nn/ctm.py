"""Parts of the Continuous Thought Machine: synapses and neuron-level models (arXiv:2505.05522)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tide.nn.weights import refresh

# Synapses: attention and post-activations to pre-activations (eq. 1).


BOTTLENECK = 16  # the narrowest width of the U-Net, fixed in the reference


class LinearSynapses(nn.Module):
    """Depth one: Dropout → Linear → GLU → LayerNorm."""

    def __init__(self, inputs: int, neurons: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(inputs, 2 * neurons), nn.GLU(dim=-1), nn.LayerNorm(neurons)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (B, inputs) to pre-activations (B, D)."""
        outputs: Tensor = self.layers(inputs)
        return outputs


class UNetSynapses(nn.Module):
    """A U-Net over neurons: ``depth`` widths from D down to 16 and back up, each level with a normalised skip."""

    def __init__(self, inputs: int, neurons: int, depth: int, dropout: float) -> None:
        super().__init__()
        widths = [int(width) for width in np.linspace(neurons, BOTTLENECK, depth)]
        levels = list(pairwise(widths))
        self.first = nn.Sequential(nn.Linear(inputs, widths[0]), nn.LayerNorm(widths[0]), nn.SiLU())
        self.down = nn.ModuleList(_level(wide, narrow, dropout) for wide, narrow in levels)
        self.up = nn.ModuleList(_level(narrow, wide, dropout) for wide, narrow in levels)
        self.norms = nn.ModuleList(nn.LayerNorm(wide) for wide, _ in levels)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (B, inputs) to pre-activations (B, D)."""
        skips = [self.first(inputs)]
        for down in self.down:
            skips.append(down(skips[-1]))
        value: Tensor = skips.pop()
        for up, norm in zip(reversed(self.up), reversed(self.norms), strict=True):
            value = norm(up(value) + skips.pop())
        return value


def make_synapses(inputs: int, neurons: int, depth: int, dropout: float, blocks: int = 1) -> nn.Module:
    """Return the synapse model of a depth; one of depth 1 may have several ``blocks``, of which the first drops."""
    if depth == 1 and blocks > 1:
        further = (LinearSynapses(neurons, neurons, 0.0) for _ in range(blocks - 1))
        return nn.Sequential(LinearSynapses(inputs, neurons, dropout), *further)
    if depth == 1:
        return LinearSynapses(inputs, neurons, dropout)
    return UNetSynapses(inputs, neurons, depth, dropout)


def _level(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(inputs, outputs), nn.LayerNorm(outputs), nn.SiLU())


# Neuron-level models: every neuron's own network over its trace of pre-activations (eq. 3).


class TraceWeights(NamedTuple):
    """One layer's weights composed once per forward pass: (D, inputs, outputs) and bias (D, 1, outputs), both / T."""

    weight: Tensor
    bias: Tensor


class PrivateLinear(nn.Module):
    """A linear map of its own for each neuron, divided by a learned temperature; optional dropout and LayerNorm before.

    ``weight`` is (inputs, outputs, D) and ``bias`` (1, D, outputs), as in the reference.
    """

    def __init__(self, neurons: int, inputs: int, outputs: int, *, norm: bool, dropout: float) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs + outputs)
        self.dropout = dropout
        self.norm = nn.LayerNorm(inputs) if norm else None
        self.weight = nn.Parameter(torch.empty(inputs, outputs, neurons).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(1, neurons, outputs))
        self.temperature = nn.Parameter(torch.ones(1))

    def compose(self) -> TraceWeights:
        """Return the weights neurons first, divided by the temperature."""
        refresh(self)
        weight = self.weight.permute(2, 0, 1) / self.temperature
        return TraceWeights(weight.contiguous(), self.bias.transpose(0, 1) / self.temperature)

    def forward(self, inputs: Tensor, weights: TraceWeights) -> Tensor:
        """Map (D, B, inputs) to (D, B, outputs)."""
        if self.dropout > 0:
            inputs = F.dropout(inputs, self.dropout, self.training)
        if self.norm is not None:
            inputs = self.norm(inputs)
        return torch.baddbmm(weights.bias, inputs, weights.weight)


class TraceModels(nn.Module):
    """Post-activations from the history of pre-activations: one or two private layers, each with a gate (GLU)."""

    def __init__(
        self,
        neurons: int,
        *,
        length: int = 25,
        hidden: int = 4,
        deep: bool = True,
        norm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        """``length`` M ticks of history; a ``deep`` network has ``hidden`` units, a shallow one none."""
        super().__init__()
        sizes = [(length, 2 * hidden), (hidden, 2)] if deep else [(length, 2)]
        self.layers = nn.ModuleList(
            PrivateLinear(neurons, inputs, outputs, norm=norm, dropout=dropout) for inputs, outputs in sizes
        )

    def _layers(self) -> Iterator[PrivateLinear]:
        return (cast(PrivateLinear, layer) for layer in self.layers)

    def compose(self) -> tuple[TraceWeights, ...]:
        """Compose what every tick uses, layer by layer."""
        return tuple(layer.compose() for layer in self._layers())

    def forward(self, history: Tensor, weights: tuple[TraceWeights, ...]) -> Tensor:
        """Return post-activations (B, D) from the history (D, B, M), newest entry last."""
        for layer, composed in zip(self._layers(), weights, strict=True):
            history = F.glu(layer(history, composed), dim=-1)
        return history.squeeze(2).t()


def every_pair(left: Tensor, right: Tensor) -> Tensor:
    """Return (left_i, right_j) for all i ≤ j, row by row, (2, n (n + 1)/2)."""
    i, j = torch.triu_indices(len(left), len(right), device="cpu")
    return torch.stack((left[i], right[j]))

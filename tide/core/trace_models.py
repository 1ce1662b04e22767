"""CTM's neuron-level models: every neuron's own network over its trace of pre-activations (arXiv:2505.05522, eq. 3)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tide.config import CTMConfig


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

    def __init__(self, config: CTMConfig) -> None:
        super().__init__()
        dropout = config.dropout if config.neuron_dropout is None else config.neuron_dropout
        sizes = [(config.memory_length, 2)]
        if config.deep:
            sizes = [(config.memory_length, 2 * config.hidden), (config.hidden, 2)]
        self.layers = nn.ModuleList(
            PrivateLinear(config.neurons, inputs, outputs, norm=config.neuron_norm, dropout=dropout)
            for inputs, outputs in sizes
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

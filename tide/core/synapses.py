"""CTM's synapse model: attention and post-activations to pre-activations (Darlow et al., arXiv:2505.05522, eq. 1)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from torch import Tensor, nn

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


def make_synapses(inputs: int, neurons: int, depth: int, dropout: float) -> nn.Module:
    """Return the synapse model of a depth."""
    if depth == 1:
        return LinearSynapses(inputs, neurons, dropout)
    return UNetSynapses(inputs, neurons, depth, dropout)


def _level(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(inputs, outputs), nn.LayerNorm(outputs), nn.SiLU())

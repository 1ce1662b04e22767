"""Sequences of symbols: a token for each."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tide.backbones.positions import RotationalPositions, sinusoidal_sequence
from tide.config import SymbolsConfig


class Symbols(nn.Module):
    """Symbols (B, L) → tokens (B, L, d_kv): a learned embedding of the symbol, and the position."""

    alphabet: Tensor

    def __init__(self, alphabet: tuple[float, ...], config: SymbolsConfig) -> None:
        """``alphabet`` gives the numbers that the symbols are written as."""
        super().__init__()
        self.register_buffer("alphabet", torch.tensor(alphabet), persistent=False)
        self.embedding = nn.Embedding(len(alphabet), config.features)
        self.positions = RotationalPositions(config.features) if config.positions == "rotational" else None

    def forward(self, values: Tensor) -> Tensor:
        """Return a token for each symbol; a value counts as the symbol that it is nearest to."""
        embedded: Tensor = self.embedding((values[..., None] - self.alphabet).abs().argmin(-1))
        length, width = embedded.shape[1:]
        positions = sinusoidal_sequence(length, width) if self.positions is None else self.positions(length)
        return embedded + positions.to(embedded)

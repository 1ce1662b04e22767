"""Backbones for what an agent observes (reference CTM's reinforcement learning, arXiv:2505.05522)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tide.config import PlacesConfig, VectorConfig, VectorsConfig, ViewConfig, register
from tide.config.model import VIEW, VIEW_KINDS

EMBEDDING = 8  # channels of each of the four embeddings of a place


def gated(inputs: int, outputs: int) -> nn.Sequential:
    """Return two blocks, Linear → GLU → LayerNorm each."""
    layers: list[nn.Module] = []
    for width in (inputs, outputs):
        layers += [nn.Linear(width, 2 * outputs), nn.GLU(), nn.LayerNorm(outputs)]
    return nn.Sequential(*layers)


class Vectors(nn.Module):
    """Numbers (B, n) → a drive (B, d)."""

    def __init__(self, numbers: int, width: int) -> None:
        super().__init__()
        self.layers = gated(numbers, width)

    def forward(self, numbers: Tensor) -> Tensor:
        """Return the drive."""
        drive: Tensor = self.layers(numbers)
        return drive


class View(nn.Module):
    """Whole numbers (B, 7, 7, 3) → tokens (B, 49, d), or all of them in a row, (B, 49 d)."""

    def __init__(self, width: int, *, flat: bool) -> None:
        super().__init__()
        self.flat = flat
        self.kinds = nn.ModuleList(nn.Embedding(count, EMBEDDING) for count in (*VIEW_KINDS, VIEW**2))
        self.layers = gated(4 * EMBEDDING, width)

    def forward(self, seen: Tensor) -> Tensor:
        """Return a token for each place, row by row."""
        seen = seen.flatten(1, 2)
        place = torch.arange(VIEW**2, device=seen.device).expand(len(seen), -1)
        embedded = [kind(index) for kind, index in zip(self.kinds, (*seen.unbind(-1), place), strict=True)]
        tokens: Tensor = self.layers(torch.cat(embedded, -1))
        return tokens.flatten(1) if self.flat else tokens


@register("backbone", VectorsConfig)
def _vectors(config: VectorsConfig, input: VectorConfig) -> nn.Module:
    return Vectors(input.size, config.features)


@register("backbone", ViewConfig)
def _view(config: ViewConfig, input: PlacesConfig) -> nn.Module:
    return View(config.width, flat=config.flat)

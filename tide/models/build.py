"""Which class a configuration means."""

from __future__ import annotations

from torch import nn

from tide.backbones.hrf import ShallowHRF
from tide.config import ModelConfig
from tide.models.cell import Cell
from tide.models.tide import TideCell


def build_backbone(config: ModelConfig) -> nn.Module:
    """Return the backbone of a configuration: images → tokens (B, N, d_kv)."""
    return ShallowHRF(config.input.channels, config.backbone)


def build_cell(config: ModelConfig) -> Cell:
    """Return the cell of a configuration."""
    return TideCell(config)

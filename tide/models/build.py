"""Which class a configuration means."""

from __future__ import annotations

from torch import nn

from tide.backbones.deep_hrf import DeepHRF
from tide.backbones.hrf import ShallowHRF
from tide.backbones.none import FeatureMap
from tide.backbones.resnet import ResNet18
from tide.config import CTMConfig, DeepHRFConfig, FeatureMapConfig, LSTMConfig, ModelConfig, ResNetConfig
from tide.models.cell import Cell
from tide.models.ctm_cell import CTMCell
from tide.models.lstm_cell import LSTMCell
from tide.models.tide import TideCell


def build_backbone(config: ModelConfig) -> nn.Module:
    """Return the backbone of a configuration: images → tokens (B, N, d_kv)."""
    if isinstance(config.backbone, FeatureMapConfig):
        return FeatureMap()
    channels = config.images.channels
    if isinstance(config.backbone, DeepHRFConfig):
        return DeepHRF(channels, config.backbone)
    if isinstance(config.backbone, ResNetConfig):
        return ResNet18(channels, config.backbone)
    return ShallowHRF(channels, config.backbone)


def build_cell(config: ModelConfig) -> Cell:
    """Return the cell of a configuration."""
    core, features, outputs = config.core, config.backbone.features, config.output.values
    if isinstance(core, CTMConfig):
        return CTMCell(core, features=features, outputs=outputs, seed=config.seed)
    if isinstance(core, LSTMConfig):
        return LSTMCell(core, features=features, outputs=outputs)
    return TideCell(core, features=features, outputs=outputs, seed=config.seed)

"""Which class a configuration means."""

from __future__ import annotations

from torch import nn

from tide.backbones.convolutions import Convolutions
from tide.backbones.deep_hrf import DeepHRF
from tide.backbones.hrf import ShallowHRF
from tide.backbones.none import FeatureMap
from tide.backbones.resnet import ResNet18, ResNetTrunk
from tide.config import (
    ConvolutionsConfig,
    CTMConfig,
    DeepHRFConfig,
    FeatureMapConfig,
    LSTMConfig,
    ModelConfig,
    ResNetConfig,
    ResNetTrunkConfig,
)
from tide.models.cell import Cell
from tide.models.ctm_cell import CTMCell
from tide.models.lstm_cell import LSTMCell
from tide.models.tide import TideCell


def build_backbone(config: ModelConfig) -> nn.Module:
    """Return the backbone of a configuration: images → tokens (B, N, d_kv)."""
    if isinstance(config.backbone, FeatureMapConfig):
        return FeatureMap()
    if isinstance(config.backbone, DeepHRFConfig):
        return DeepHRF(config.input.channels, config.backbone)
    if isinstance(config.backbone, ResNetConfig):
        return ResNet18(config.input.channels, config.backbone)
    if isinstance(config.backbone, ResNetTrunkConfig):
        return ResNetTrunk(config.input.channels, config.backbone)
    if isinstance(config.backbone, ConvolutionsConfig):
        return Convolutions(config.input.channels, config.backbone)
    return ShallowHRF(config.input.channels, config.backbone)


def build_cell(config: ModelConfig) -> Cell:
    """Return the cell of a configuration."""
    core, features, classes = config.core, config.backbone.features, config.input.classes
    if isinstance(core, CTMConfig):
        return CTMCell(core, features=features, classes=classes, seed=config.seed)
    if isinstance(core, LSTMConfig):
        return LSTMCell(core, features=features, classes=classes)
    return TideCell(core, features=features, classes=classes, seed=config.seed)

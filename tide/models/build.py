"""Which class a configuration means."""

from __future__ import annotations

from torch import nn

from tide.backbones.images import Convolutions, DeepHRF, FeatureMap, ResNet18, ResNetTrunk, ShallowHRF
from tide.backbones.sequences import QuestionBackbone, Symbols
from tide.config import (
    ConvolutionsConfig,
    CTMConfig,
    DeepHRFConfig,
    FeatureMapConfig,
    LSTMConfig,
    ModelConfig,
    QuestionsConfig,
    ResNetConfig,
    ResNetTrunkConfig,
    ScheduleConfig,
    SequenceConfig,
    SymbolsConfig,
)
from tide.models.cell import Cell
from tide.models.registry import BACKBONES, CELLS
from tide.models.tide import TideCell


def build_backbone(config: ModelConfig) -> nn.Module:
    """Return the backbone of a configuration: images or symbols → tokens (B, N, d_kv), questions → what they show."""
    if type(config.backbone) in BACKBONES:
        return BACKBONES[type(config.backbone)](config.backbone, config.input)
    if isinstance(config.backbone, FeatureMapConfig):
        return FeatureMap()
    if isinstance(config.backbone, SymbolsConfig):
        assert isinstance(config.input, SequenceConfig)
        return Symbols(config.input.alphabet, config.backbone)
    if isinstance(config.backbone, QuestionsConfig):
        assert isinstance(config.input, ScheduleConfig)
        return QuestionBackbone(config.input.channels, config.backbone)
    channels = config.images.channels
    if isinstance(config.backbone, DeepHRFConfig):
        return DeepHRF(channels, config.backbone)
    if isinstance(config.backbone, ResNetConfig):
        return ResNet18(channels, config.backbone)
    if isinstance(config.backbone, ResNetTrunkConfig):
        return ResNetTrunk(channels, config.backbone)
    if isinstance(config.backbone, ConvolutionsConfig):
        return Convolutions(channels, config.backbone)
    return ShallowHRF(channels, config.backbone)


def build_cell(config: ModelConfig) -> Cell:
    """Return the cell of a configuration."""
    core, features, outputs = config.core, config.backbone.features, config.output.values
    if type(core) in CELLS:
        return CELLS[type(core)](core, features=features, outputs=outputs, seed=config.seed)
    if isinstance(core, CTMConfig):
        from tide.models.ctm import CTMCell

        return CTMCell(core, features=features, outputs=outputs, seed=config.seed)
    if isinstance(core, LSTMConfig):
        from tide.models.lstm import LSTMCell

        return LSTMCell(core, features=features, outputs=outputs)
    return TideCell(core, features=features, outputs=outputs, seed=config.seed)

"""Settings: frozen, keyword-only dataclasses that validate themselves.

Each component owns its section. Defaults are the MNIST column of the paper's Table A.1, completed by the choices
marked [C] in ``docs/fidelity.md``. Where there is a choice of sections (input, backbone, core, data) their field
``kind`` says which one it is. Reading, writing and comparing configurations is in :mod:`tide.config.io`.
"""

from tide.config.backbones import (
    BackboneConfig,
    CenterSurroundInit,
    ConvolutionsConfig,
    DeepHRFConfig,
    FeatureMapConfig,
    HRFConfig,
    QuestionsConfig,
    ResNetConfig,
    ResNetTrunkConfig,
    SequencePositions,
    SymbolsConfig,
)
from tide.config.baselines import CTMConfig, LSTMConfig, PairSelection
from tide.config.core import (
    Activation,
    AttentionConfig,
    CoreConfig,
    Guarantee,
    HeadConfig,
    LateralConfig,
    MemoryConfig,
    MemoryScope,
    NeuronModelConfig,
    RateNorm,
    RatioNormalization,
    SynchronyConfig,
)
from tide.config.data import DataConfig, DrawnConfig, FolderConfig, HubConfig, NamedDataConfig, data_config
from tide.config.experiment import Config, ModelConfig
from tide.config.inputs import ImageConfig, InputConfig, OutputConfig, ScheduleConfig, SequenceConfig
from tide.config.training import (
    ClipConfig,
    GameLoss,
    LossConfig,
    MixedPrecision,
    Objective,
    ReferenceSchedule,
    SecondTick,
    TrainConfig,
)

__all__ = [
    "Activation",
    "AttentionConfig",
    "BackboneConfig",
    "CTMConfig",
    "CenterSurroundInit",
    "ClipConfig",
    "Config",
    "ConvolutionsConfig",
    "CoreConfig",
    "DataConfig",
    "DeepHRFConfig",
    "DrawnConfig",
    "FeatureMapConfig",
    "FolderConfig",
    "GameLoss",
    "Guarantee",
    "HRFConfig",
    "HeadConfig",
    "HubConfig",
    "ImageConfig",
    "InputConfig",
    "LSTMConfig",
    "LateralConfig",
    "LossConfig",
    "MemoryConfig",
    "MemoryScope",
    "MixedPrecision",
    "ModelConfig",
    "NamedDataConfig",
    "NeuronModelConfig",
    "Objective",
    "OutputConfig",
    "PairSelection",
    "QuestionsConfig",
    "RateNorm",
    "RatioNormalization",
    "ReferenceSchedule",
    "ResNetConfig",
    "ResNetTrunkConfig",
    "ScheduleConfig",
    "SecondTick",
    "SequenceConfig",
    "SequencePositions",
    "SymbolsConfig",
    "SynchronyConfig",
    "TrainConfig",
    "data_config",
]

"""A model and a whole experiment."""

from __future__ import annotations

from dataclasses import dataclass, field

from tide.config.backbones import BackboneConfig, HRFConfig
from tide.config.baselines import CTMConfig, LSTMConfig
from tide.config.core import CoreConfig
from tide.config.inputs import DataConfig, InputConfig
from tide.config.training import TERMS, LossConfig, TrainConfig
from tide.errors import check


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Everything that determines a model: with the seed, its weights and pair indices too."""

    seed: int = 42
    """Seed of the weights and the pair indices (and, in training, of data order, augmentation and dropout)."""
    input: InputConfig = field(default_factory=InputConfig)
    backbone: BackboneConfig = field(default_factory=HRFConfig)
    core: CoreConfig | CTMConfig | LSTMConfig = field(default_factory=CoreConfig)

    def __post_init__(self) -> None:
        check(0 <= self.seed < 2**63, f"seed is {self.seed}, a whole number from 0 to 2^63 - 1 is wanted")


@dataclass(frozen=True, kw_only=True)
class Config(ModelConfig):
    """A whole experiment: model, data, objective, training."""

    data: DataConfig = field(default_factory=DataConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.core.kind == "tide":
            return
        for term in TERMS:
            weight = self.loss.weight(term)
            check(
                weight == 0 or not term.of_populations,
                f"loss.{term.name}_weight is {weight}, 0 is wanted: core {self.core.kind} has no excitatory and "
                f"inhibitory populations for it to act on; the presets {self.core.kind}.TASK leave these terms out",
            )

    @property
    def model(self) -> ModelConfig:
        """The part that determines the model."""
        return ModelConfig(seed=self.seed, input=self.input, backbone=self.backbone, core=self.core)

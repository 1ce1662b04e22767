"""A model and a whole experiment."""

from __future__ import annotations

from dataclasses import dataclass, field

from tide.config.backbones import BackboneConfig, HRFConfig
from tide.config.baselines import CTMConfig, LSTMConfig
from tide.config.core import CoreConfig
from tide.config.data import DataConfig, NamedDataConfig
from tide.config.inputs import ImageConfig, InputConfig, OutputConfig, ScheduleConfig, SequenceConfig
from tide.config.training import TERMS, LossConfig, TrainConfig
from tide.errors import ConfigError, check

BACKBONES = {
    "image": ("hrf", "deep_hrf", "resnet18", "resnet_trunk", "convolutions", "none"),
    "sequence": ("symbols",),
    "numbers": ("none",),
    "schedule": ("questions",),
}
"""Backbones that read each kind of input; numbers are a sequence without an alphabet."""
HEADS = {"tide": "core.attention.heads", "ctm": "core.heads", "lstm": "core.heads"}


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Everything that determines a model: with the seed, its weights and pair indices too."""

    seed: int = 42
    """Seed of the weights and the pair indices (and, in training, of data order, augmentation and dropout)."""
    input: InputConfig = field(default_factory=ImageConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    backbone: BackboneConfig = field(default_factory=HRFConfig)
    core: CoreConfig | CTMConfig | LSTMConfig = field(default_factory=CoreConfig)

    def __post_init__(self) -> None:
        check(0 <= self.seed < 2**63, f"seed is {self.seed}, a whole number from 0 to 2^63 - 1 is wanted")
        # A backbone of an extension makes tokens of whatever it is given.
        known = any(self.backbone.kind in kinds for kinds in BACKBONES.values())
        numbers = isinstance(self.input, SequenceConfig) and not self.input.alphabet and known
        heads = HEADS.get(self.core.kind)
        reads = f"{heads} is {'above 0' if numbers else 0}" if heads else f"core.attends is {self.core.attends}"
        wanted = ("0" if numbers else "a number above 0") if heads else str(not numbers)
        check(
            numbers != self.core.attends,
            f"{reads} for numbers, {wanted} is wanted: numbers are no tokens to attend to"
            if numbers
            else f"{reads}, {wanted} is wanted: only numbers drive neurons as they are",
        )
        kind = "numbers" if numbers else self.input.kind
        readers = BACKBONES[kind]
        check(
            self.backbone.kind in readers or not known,
            f"backbone.kind is {self.backbone.kind} for an input of kind {kind}, {' or '.join(readers)} is wanted",
        )
        if isinstance(self.input, SequenceConfig) and numbers:
            check(
                self.backbone.features == self.input.length,
                f"backbone.features is {self.backbone.features}, {self.input.length} = input.length is wanted: numbers "
                "come as they are",
            )
        if isinstance(self.input, ScheduleConfig) and isinstance(self.core, CoreConfig | CTMConfig):
            width = self.core.attention.width if isinstance(self.core, CoreConfig) else self.core.attention_width
            check(
                self.backbone.features == width,
                f"backbone.features is {self.backbone.features}, {width} as the attention is wide is wanted: questions "
                "take the place of what is read",
            )

    @property
    def images(self) -> ImageConfig:
        """The images that the model takes; raises :class:`~tide.errors.ConfigError` where it takes something else."""
        if not isinstance(self.input, ImageConfig):
            raise ConfigError(f"the model takes a {self.input.kind}, a model of images is wanted here")
        return self.input

    @property
    def classifies_images(self) -> bool:
        """Whether an image goes in and one class comes out, as of every task that a program does not draw."""
        return isinstance(self.input, ImageConfig) and not self.output.positions


@dataclass(frozen=True, kw_only=True)
class Config(ModelConfig):
    """A whole experiment: model, data, objective, training."""

    data: DataConfig = field(default_factory=NamedDataConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        check(
            (self.loss.objective == "ctc") == (self.output.emitted > 0),
            f"loss.objective is {self.loss.objective} with output.emitted = {self.output.emitted}, ctc is wanted for a "
            "list that is emitted over the ticks, and only for one",
        )
        check(
            self.loss.objective != "route" or len(self.output.positions) == 1,
            f"loss.objective is route with output.positions = {self.output.positions}, one number of moves is wanted",
        )
        check(
            self.output.emitted <= self.core.ticks,
            f"core.ticks is {self.core.ticks}, output.emitted = {self.output.emitted} or more are wanted: a tick emits "
            "one symbol at most",
        )
        if self.core.kind == "tide":
            return
        presets = f"; the presets {self.core.kind}.TASK leave these terms out" if self.core.kind in HEADS else ""
        for term in TERMS:
            weight = self.loss.weight(term)
            check(
                weight == 0 or not term.of_populations,
                f"loss.{term.name}_weight is {weight}, 0 is wanted: core {self.core.kind} has no excitatory and "
                f"inhibitory populations for it to act on{presets}",
            )

    @property
    def model(self) -> ModelConfig:
        """The part that determines the model."""
        return ModelConfig(seed=self.seed, input=self.input, output=self.output, backbone=self.backbone, core=self.core)

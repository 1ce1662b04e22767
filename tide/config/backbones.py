"""Backbones: from images or symbols to tokens. ``kind`` says which section it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tide.config.checks import at_most, one_of, positive
from tide.errors import check

CenterSurroundInit = Literal["learned", "difference_of_gaussians"]
SequencePositions = Literal["rotational", "sinusoidal"]


GRID = "attention reads grid x grid tokens"


@dataclass(frozen=True, kw_only=True)
class HRFConfig:
    """Shallow hierarchical receptive field (equations §6)."""

    kind: Literal["hrf"] = "hrf"
    """Which backbone: hrf, deep_hrf, resnet18, resnet_trunk, convolutions, symbols, questions or none."""
    width: int = 32
    """Channels of the stem and of each expansion convolution."""
    branch_width: int = 16
    """Channels of each of the four center-surround branches."""
    features: int = 128
    """Channels of a token, d_kv."""
    grid: int = 8
    """The tokens form a grid of this many rows and columns."""
    init: CenterSurroundInit = "learned"
    """Start of the center-surround kernels: `learned` (random) or `difference_of_gaussians`."""

    def __post_init__(self) -> None:
        one_of("backbone", "kind", self.kind, ("hrf",))
        at_most("backbone", 128, GRID, grid=self.grid)
        positive("backbone", width=self.width, branch_width=self.branch_width, features=self.features, grid=self.grid)
        _check_positions(self.features)
        one_of("backbone", "init", self.init, ("learned", "difference_of_gaussians"))


@dataclass(frozen=True, kw_only=True)
class DeepHRFConfig:
    """Deep hierarchical receptive field, for photos of 224 pixels (equations §6)."""

    kind: Literal["deep_hrf"] = "deep_hrf"
    """Which backbone: hrf, deep_hrf, resnet18, resnet_trunk, convolutions, symbols, questions or none."""
    width: int = 64
    """Channels of stage zero and stage one; the next stages have two, four and eight times as many."""
    blocks: int = 2
    """Basic residual blocks per stage."""
    grid: int = 14
    """The tokens form a grid of this many rows and columns."""
    init: CenterSurroundInit = "learned"
    """Start of the center-surround kernels: `learned` (random) or `difference_of_gaussians`."""

    @property
    def features(self) -> int:
        """Channels of a token, d_kv: those of the last stage."""
        return 8 * self.width

    def __post_init__(self) -> None:
        one_of("backbone", "kind", self.kind, ("deep_hrf",))
        at_most("backbone", 128, GRID, grid=self.grid)
        positive("backbone", width=self.width, blocks=self.blocks, grid=self.grid)
        one_of("backbone", "init", self.init, ("learned", "difference_of_gaussians"))


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    """ResNet-18 for small images, the third backbone of the paper's appendix (equations §6)."""

    kind: Literal["resnet18"] = "resnet18"
    """Which backbone: hrf, deep_hrf, resnet18, resnet_trunk, convolutions, symbols, questions or none."""
    features: int = 128
    """Channels of a token, d_kv: a 1 x 1 convolution maps the last stage's 512 channels to it."""
    grid: int = 8
    """The tokens form a grid of this many rows and columns."""

    def __post_init__(self) -> None:
        one_of("backbone", "kind", self.kind, ("resnet18",))
        at_most("backbone", 128, GRID, grid=self.grid)
        positive("backbone", features=self.features, grid=self.grid)
        _check_positions(self.features)


@dataclass(frozen=True, kw_only=True)
class FeatureMapConfig:
    """No backbone: the model's input is a feature map (B, features, H, W), each place a token."""

    kind: Literal["none"] = "none"
    """Which backbone: hrf, deep_hrf, resnet18, resnet_trunk, convolutions, symbols, questions or none."""
    features: int = 128
    """Channels of the feature map, d_kv."""

    def __post_init__(self) -> None:
        one_of("backbone", "kind", self.kind, ("none",))
        positive("backbone", features=self.features)


@dataclass(frozen=True, kw_only=True)
class ResNetTrunkConfig:
    """The first stages of a ResNet whose stem is one 3 x 3 convolution and max-pooling: the reference CTM's for mazes.

    Its tokens are places of the last stage's map, without positions: any size of image gives as many as it has room
    for, 10 x 10 of 39 pixels after two stages.
    """

    kind: Literal["resnet_trunk"] = "resnet_trunk"
    """Which backbone: hrf, deep_hrf, resnet18, resnet_trunk, convolutions, symbols, questions or none."""
    depth: int = 34
    """The network whose stages they are: 18 or 34."""
    stages: int = 2
    """How many of its four stages are kept; they are 64, 128, 256 and 512 channels wide."""

    @property
    def features(self) -> int:
        """Channels of a token, d_kv: those of the last stage."""
        return int(64 * 2 ** (self.stages - 1))

    def __post_init__(self) -> None:
        one_of("backbone", "kind", self.kind, ("resnet_trunk",))
        check(self.depth in (18, 34), f"backbone.depth is {self.depth}, 18 or 34 is wanted")
        check(1 <= self.stages <= 4, f"backbone.stages is {self.stages}, 1 to 4 are wanted")


@dataclass(frozen=True, kw_only=True)
class ConvolutionsConfig:
    """A few 3 x 3 convolutions for small images, the last of stride 2; 9 pixels give 5 x 5 tokens."""

    kind: Literal["convolutions"] = "convolutions"
    """Which backbone: hrf, deep_hrf, resnet18, resnet_trunk, convolutions, symbols, questions or none."""
    features: int = 64
    """Channels of every convolution and of a token, d_kv."""
    layers: int = 3
    """How many convolutions, each with BatchNorm and ReLU."""
    positions: bool = True
    """Whether fixed sinusoidal positions are added to the tokens."""

    def __post_init__(self) -> None:
        one_of("backbone", "kind", self.kind, ("convolutions",))
        positive("backbone", features=self.features, layers=self.layers)
        if self.positions:
            _check_positions(self.features)


@dataclass(frozen=True, kw_only=True)
class SymbolsConfig:
    """Each symbol of a sequence as a token: a learned embedding and its position."""

    kind: Literal["symbols"] = "symbols"
    """Which backbone: hrf, deep_hrf, resnet18, resnet_trunk, convolutions, symbols, questions or none."""
    features: int = 512
    """Channels of a token, d_kv."""
    positions: SequencePositions = "rotational"
    """How a token says where it is: `rotational` (half a turn along the sequence, learned map) or `sinusoidal`
    (fixed)."""

    def __post_init__(self) -> None:
        one_of("backbone", "kind", self.kind, ("symbols",))
        positive("backbone", features=self.features)
        one_of("backbone", "positions", self.positions, ("rotational", "sinusoidal"))
        check(
            self.positions == "rotational" or self.features % 2 == 0,
            f"backbone.features is {self.features}, an even number is wanted: sinusoidal positions need it",
        )


@dataclass(frozen=True, kw_only=True)
class QuestionsConfig:
    """Digits as tokens, places and operators of a question as drives (the reference CTM's for QAMNIST)."""

    kind: Literal["questions"] = "questions"
    """Which backbone: hrf, deep_hrf, resnet18, resnet_trunk, convolutions, symbols, questions or none."""
    features: int = 64
    """Channels of a token and width of a drive, d_kv."""

    def __post_init__(self) -> None:
        one_of("backbone", "kind", self.kind, ("questions",))
        positive("backbone", features=self.features)
        check(
            self.features % 2 == 0,
            f"backbone.features is {self.features}, an even number is wanted: sinusoidal places need it",
        )


BackboneConfig = (
    HRFConfig
    | DeepHRFConfig
    | ResNetConfig
    | ResNetTrunkConfig
    | ConvolutionsConfig
    | SymbolsConfig
    | QuestionsConfig
    | FeatureMapConfig
)


def _check_positions(features: int) -> None:
    check(
        features % 4 == 0,
        f"backbone.features is {features}, a multiple of 4 is wanted: 2-D sinusoidal positions need it",
    )

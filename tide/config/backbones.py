"""Backbones: from images to tokens. ``kind`` says which section it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tide.config.checks import at_most, one_of, positive
from tide.errors import check

CenterSurroundInit = Literal["learned", "difference_of_gaussians"]


GRID = "attention reads grid x grid tokens"


@dataclass(frozen=True, kw_only=True)
class HRFConfig:
    """Shallow hierarchical receptive field (equations §6)."""

    kind: Literal["hrf"] = "hrf"
    """Which backbone: hrf, deep_hrf, resnet18 or none."""
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
    """Which backbone: hrf, deep_hrf, resnet18 or none."""
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
    """Which backbone: hrf, deep_hrf, resnet18 or none."""
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
    """Which backbone: hrf, deep_hrf, resnet18 or none."""
    features: int = 128
    """Channels of the feature map, d_kv."""

    def __post_init__(self) -> None:
        one_of("backbone", "kind", self.kind, ("none",))
        positive("backbone", features=self.features)


BackboneConfig = HRFConfig | DeepHRFConfig | ResNetConfig | FeatureMapConfig


def _check_positions(features: int) -> None:
    check(
        features % 4 == 0,
        f"backbone.features is {features}, a multiple of 4 is wanted: 2-D sinusoidal positions need it",
    )

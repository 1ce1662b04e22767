"""Backbones for images: hierarchical receptive fields, residual networks, a few convolutions, none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tide.backbones.layers import BatchNorm, as_tokens, sinusoidal_positions
from tide.config import (
    ConvolutionsConfig,
    DeepHRFConfig,
    FeatureMapConfig,
    HRFConfig,
    ImageConfig,
    ResNetConfig,
    ResNetTrunkConfig,
    register,
)
from tide.device import transformed
from tide.nn.weights import held, refresh

M = TypeVar("M", bound=Callable[..., nn.Module])


def _of_images(settings: type[Any]) -> Callable[[M], M]:
    """Register a backbone that is built from the images' channels and its own settings."""

    def decorate(cls: M) -> M:
        def build(config: Any, input: Any) -> nn.Module:
            return cls(input.channels if isinstance(input, ImageConfig) else 0, config)

        register("backbone", settings)(build)
        return cls

    return decorate


# A few convolutions, for small images such as mazes of 9 or 15 pixels.


@_of_images(ConvolutionsConfig)
class Convolutions(nn.Module):
    """Images (B, channels, H, W) → tokens (B, N, d_kv), row by row, N = ⌈H/2⌉ ⌈W/2⌉."""

    def __init__(self, channels: int, config: ConvolutionsConfig) -> None:
        super().__init__()
        self.with_positions = config.positions
        layers: list[nn.Module] = []
        for number in range(config.layers):
            inputs, stride = config.features if number else channels, 2 if number == config.layers - 1 else 1
            layers += [
                nn.Conv2d(inputs, config.features, 3, stride=stride, padding=1, bias=False),
                BatchNorm(config.features),
                nn.ReLU(),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Return every place of the last map as a token, with its position added."""
        features: Tensor = self.layers(images)
        if self.with_positions:
            channels, rows, columns = features.shape[1:]
            features = features + sinusoidal_positions(rows, columns, channels).to(features)
        return as_tokens(features)


# Hierarchical receptive field: a bank of center-surround units, as in the early visual system (equations §6).


CENTERS = (3, 3, 5, 5)
SURROUNDS = (5, 7, 9, 11)


def gaussian_kernel(size: int, sigma: float) -> Tensor:
    """Return a discretised isotropic Gaussian (size, size) with sum one; ``sigma`` in pixels."""
    x = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    one = torch.exp(-x.square() / (2 * sigma**2))
    kernel = torch.outer(one, one)
    return (kernel / kernel.sum()).to(torch.get_default_dtype())


class CenterSurround(nn.Module):
    """CS(x) = BatchNorm(ReLU(a_c · C(x) − a_s · S(x))), S wider than C (paper, Appendix D).

    With ``difference_of_gaussians`` both kernels start as Gaussians over the same random non-negative mixture of
    the input channels: a rectified, normalised Difference of Gaussians.
    """

    def __init__(
        self, inputs: int, outputs: int, center: int, surround: int, *, init: str = "learned", stride: int = 1
    ):
        super().__init__()
        self.center = nn.Conv2d(inputs, outputs, center, stride=stride, padding=center // 2, bias=False)
        self.surround = nn.Conv2d(inputs, outputs, surround, stride=stride, padding=surround // 2, bias=False)
        self.center_gain = nn.Parameter(torch.tensor(1.0))
        self.surround_gain = nn.Parameter(torch.tensor(0.5))
        self.norm = BatchNorm(outputs)
        if init == "difference_of_gaussians":
            self._difference_of_gaussians_()

    @torch.no_grad()
    def _difference_of_gaussians_(self) -> None:
        outputs, inputs = self.center.weight.shape[:2]
        mixture = torch.rand(outputs, inputs, 1, 1) + 1e-3
        mixture /= mixture.sum(1, keepdim=True)
        for conv in (self.center, self.surround):
            size = conv.kernel_size[0]
            conv.weight.copy_(mixture * gaussian_kernel(size, sigma=size / 4))

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H, W) (H/stride, W/stride)."""
        stride, padding = self.surround.stride, self.surround.padding
        response = F.conv2d(images, self.kernel(), stride=stride, padding=padding)
        normalised: Tensor = self.norm(torch.relu(response))
        return normalised

    def kernel(self) -> Tensor:
        """Return a_c · C − a_s · S, C padded with zeros: both convolutions as one, (outputs, inputs, size, size)."""
        wider = (self.surround.kernel_size[0] - self.center.kernel_size[0]) // 2
        refresh(self)
        center = F.pad(held(self.center)[0], (wider, wider, wider, wider))
        return self.center_gain * center - self.surround_gain * held(self.surround)[0]


@_of_images(HRFConfig)
class ShallowHRF(nn.Module):
    """Stem, four parallel center-surround branches, aggregation: images (B, channels, H, W) → tokens (B, N, d_kv).

    N = grid²; any H and W of 8 or more.
    """

    positions: Tensor

    def __init__(self, channels: int, config: HRFConfig) -> None:
        super().__init__()
        width = config.width
        self.stem = _Stem(*_conv_block(channels, width), *_conv_block(width, width), nn.MaxPool2d(2))
        self.branches = nn.ModuleList(
            nn.Sequential(
                CenterSurround(width, config.branch_width, center, surround, init=config.init),
                *_conv_block(config.branch_width, width),
                nn.AdaptiveAvgPool2d(config.grid),
            )
            for center, surround in zip(CENTERS, SURROUNDS, strict=True)
        )
        self.aggregation = nn.Sequential(
            *_conv_block(len(CENTERS) * width, config.features),
            nn.Conv2d(config.features, config.features, 3, padding=1, bias=False),
            # Without it the tokens vary four times less over images than the positions added to them.
            BatchNorm(config.features),
        )
        positions = sinusoidal_positions(config.grid, config.grid, config.features)
        self.register_buffer("positions", positions, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return tokens with positions added."""
        stem = self.stem(images)
        features = self.aggregation(torch.cat([branch(stem) for branch in self.branches], 1))
        return as_tokens(features + self.positions)


class _Stem(nn.Sequential):
    """Layers of which, on a CPU, all but the first work in channels_last, and so does what follows.

    There the branches' 9 x 9 and 11 x 11 convolutions are four times as fast, pooling and normalisation too.
    """

    def forward(self, images: Tensor) -> Tensor:
        first, *others = self
        # Of images with one channel PyTorch can't tell the order, so it is set behind the first convolution.
        features: Tensor = first(images)
        if features.device.type == "cpu" and not transformed():
            features = features.contiguous(memory_format=torch.channels_last)
        for layer in others:
            features = layer(features)
        return features


def _conv_block(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return (nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), BatchNorm(outputs), nn.ReLU())


# Residual networks (He et al., arXiv:1512.03385).
#
# ResNet-18 for small images, the third backbone that the paper's appendix ran; first stages, which read mazes.


WIDTHS = (64, 128, 256, 512)
COLOURS = 3  # that the reference's trunk takes, whatever the image has
BLOCKS = 2  # per stage
BLOCKS_OF = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
"""Blocks of each stage, by the network's depth."""


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions with BatchNorm and a skip, which is projected where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            BatchNorm(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            BatchNorm(outputs),
        )
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.skip = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), BatchNorm(outputs))

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, ⌈H/stride⌉, ⌈W/stride⌉)."""
        return torch.relu(self.body(images) + self.skip(images))


def stage_blocks(stage: int, count: int) -> list[BasicBlock]:
    """Return the blocks of a stage (from 0); all but the first stage halve height and width."""
    width, inputs = WIDTHS[stage], WIDTHS[max(stage - 1, 0)]
    return [
        BasicBlock(width if block else inputs, width, stride=2 if stage > 0 and block == 0 else 1)
        for block in range(count)
    ]


@_of_images(ResNetConfig)
class ResNet18(nn.Module):
    """Images (B, channels, H, W) → tokens (B, N, d_kv), N = grid²; any H and W of 8 or more.

    The stem for small images (3 x 3, stride 1, no pooling), four stages of two blocks, a 1 x 1 convolution with
    BatchNorm to d_kv, average pooling to the grid, fixed positions. The last stage has an eighth of the image's width
    (4 x 4 for 32 pixels): on a finer grid neighbouring tokens share features.
    """

    positions: Tensor

    def __init__(self, channels: int, config: ResNetConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(channels, WIDTHS[0], 3, padding=1, bias=False),
            BatchNorm(WIDTHS[0]),
            nn.ReLU(),
        ]
        layers += [block for stage in range(len(WIDTHS)) for block in stage_blocks(stage, BLOCKS)]
        layers += [nn.Conv2d(WIDTHS[-1], config.features, 1, bias=False), BatchNorm(config.features)]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(config.grid))
        positions = sinusoidal_positions(config.grid, config.grid, config.features)
        self.register_buffer("positions", positions, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return tokens with positions added."""
        return as_tokens(self.layers(images) + self.positions)


@_of_images(ResNetTrunkConfig)
class ResNetTrunk(nn.Module):
    """Images (B, channels, H, W) → tokens (B, N, d_kv), row by row, of the first stages of a ResNet.

    The stem (1 x 1 to three colours; 3 x 3, stride 1; max-pooling, stride 2) and every stage but the first halve height
    and width, rounded up. As the reference CTM reads mazes (arXiv:2505.05522); the published network's stem is 7 x 7.
    """

    def __init__(self, channels: int, config: ResNetTrunkConfig) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, COLOURS, 1),
            nn.Conv2d(COLOURS, WIDTHS[0], 3, padding=1, bias=False),
            BatchNorm(WIDTHS[0]),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        counts = BLOCKS_OF[config.depth][: config.stages]
        self.stages = nn.Sequential(*(nn.Sequential(*stage_blocks(k, count)) for k, count in enumerate(counts)))

    def forward(self, images: Tensor) -> Tensor:
        """Return every place of the last stage as a token."""
        return as_tokens(self.stages(self.stem(images)))


# Deep hierarchical receptive field: a center-surround stem, four residual stages (equations §6; Appendix E).


CENTER, SURROUND = 5, 7
STRIDES = (2, 2, 2, 1)
FACTORS = (1, 2, 4, 8)  # of the width, stage by stage


class Stage(nn.Module):
    """A center-surround unit added to its input (stages one to three), then basic blocks, the first with a stride."""

    def __init__(
        self, inputs: int, outputs: int, blocks: int, stride: int, *, center_surround: bool, init: str
    ) -> None:
        super().__init__()
        self.entry = CenterSurround(inputs, inputs, CENTER, SURROUND, init=init) if center_surround else None
        self.blocks = nn.Sequential(
            *(BasicBlock(inputs if k == 0 else outputs, outputs, stride if k == 0 else 1) for k in range(blocks))
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, ⌈H/stride⌉, ⌈W/stride⌉)."""
        if self.entry is not None:
            features = features + self.entry(features)
        mapped: Tensor = self.blocks(features)
        return mapped


@_of_images(DeepHRFConfig)
class DeepHRF(nn.Module):
    """Images (B, channels, H, W) → tokens (B, N, d_kv), N = grid², d_kv = 8 · width; any H and W of 16 or more.

    Every residual branch, center-surround entries included, starts at zero: its last BatchNorm has gain zero, so that
    a stage starts as its shortcut.
    """

    positions: Tensor

    def __init__(self, channels: int, config: DeepHRFConfig) -> None:
        super().__init__()
        self.stem = CenterSurround(channels, config.width, CENTER, SURROUND, init=config.init, stride=2)
        widths = [config.width * factor for factor in FACTORS]
        self.stages = nn.Sequential(
            *(
                Stage(
                    inputs, outputs, config.blocks, stride, center_surround=number < len(widths) - 1, init=config.init
                )
                for number, (inputs, outputs, stride) in enumerate(
                    zip([config.width, *widths[:-1]], widths, STRIDES, strict=True)
                )
            ),
            nn.AdaptiveAvgPool2d(config.grid),
        )
        positions = sinusoidal_positions(config.grid, config.grid, config.features)
        self.register_buffer("positions", positions, persistent=False)
        for module in self.modules():
            if isinstance(module, BasicBlock):
                _start_at_zero_(module.body[-1])
            elif isinstance(module, Stage) and module.entry is not None:
                _start_at_zero_(module.entry.norm)

    def forward(self, images: Tensor) -> Tensor:
        """Return tokens with positions added."""
        features = self.stages(self.stem(images))
        return as_tokens(features + self.positions)


def _start_at_zero_(norm: nn.Module) -> None:
    assert isinstance(norm, nn.BatchNorm2d)
    nn.init.zeros_(norm.weight)
    nn.init.zeros_(norm.bias)


# No backbone: the input is a feature map, or numbers that drive the neurons.


@_of_images(FeatureMapConfig)
class FeatureMap(nn.Module):
    """A feature map (B, d_kv, H, W) → tokens (B, H·W, d_kv), row by row; numbers (B, d) as they are."""

    def __init__(self, channels: int = 0, config: FeatureMapConfig | None = None) -> None:
        super().__init__()

    def forward(self, features: Tensor) -> Tensor:
        """Return every place as a token."""
        return as_tokens(features) if features.dim() > 2 else features

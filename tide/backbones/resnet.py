"""Residual networks (He et al., arXiv:1512.03385).

ResNet-18 for small images, the third backbone that the paper's appendix ran; first stages, which read mazes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tide.backbones.batch_norm import BatchNorm
from tide.backbones.positions import sinusoidal_positions
from tide.config import ResNetConfig, ResNetTrunkConfig

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
        tokens: Tensor = (self.layers(images) + self.positions).flatten(2).transpose(1, 2)
        return tokens


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
        tokens: Tensor = self.stages(self.stem(images)).flatten(2).transpose(1, 2)
        return tokens

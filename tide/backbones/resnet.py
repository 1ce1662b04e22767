"""ResNet-18 for small images, the third backbone that the paper's appendix ran (He et al., arXiv:1512.03385)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tide.backbones.positions import sinusoidal_positions
from tide.config import ResNetConfig

WIDTHS = (64, 128, 256, 512)
BLOCKS = 2  # per stage


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions with BatchNorm and a skip, which is projected where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.skip = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, ⌈H/stride⌉, ⌈W/stride⌉)."""
        return torch.relu(self.body(images) + self.skip(images))


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
            nn.BatchNorm2d(WIDTHS[0]),
            nn.ReLU(),
        ]
        inputs = WIDTHS[0]
        for stage, width in enumerate(WIDTHS):
            for block in range(BLOCKS):
                layers.append(BasicBlock(inputs, width, stride=2 if stage > 0 and block == 0 else 1))
                inputs = width
        layers += [nn.Conv2d(inputs, config.features, 1, bias=False), nn.BatchNorm2d(config.features)]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(config.grid))
        positions = sinusoidal_positions(config.grid, config.grid, config.features)
        self.register_buffer("positions", positions, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return tokens with positions added."""
        tokens: Tensor = (self.layers(images) + self.positions).flatten(2).transpose(1, 2)
        return tokens

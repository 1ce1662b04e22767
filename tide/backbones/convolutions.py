"""A few convolutions, for small images such as mazes of 9 or 15 pixels."""

from __future__ import annotations

from torch import Tensor, nn

from tide.backbones.batch_norm import BatchNorm
from tide.backbones.positions import sinusoidal_positions
from tide.config import ConvolutionsConfig


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
        return features.flatten(2).transpose(1, 2)

"""Hierarchical receptive field: a bank of center-surround units, as in the early visual system (equations §6)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tide.backbones.batch_norm import BatchNorm
from tide.backbones.positions import sinusoidal_positions
from tide.config import HRFConfig

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
        center = F.pad(self.center.weight, (wider, wider, wider, wider))
        return self.center_gain * center - self.surround_gain * self.surround.weight


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
        tokens: Tensor = (features + self.positions).flatten(2).transpose(1, 2)
        return tokens


class _Stem(nn.Sequential):
    """Layers of which, on a CPU, all but the first work in channels_last, and so does what follows.

    There the branches' 9 x 9 and 11 x 11 convolutions are four times as fast, pooling and normalisation too.
    """

    def forward(self, images: Tensor) -> Tensor:
        first, *others = self
        # Of images with one channel PyTorch can't tell the order, so it is set behind the first convolution.
        features: Tensor = first(images)
        if features.device.type == "cpu":
            features = features.contiguous(memory_format=torch.channels_last)
        for layer in others:
            features = layer(features)
        return features


def _conv_block(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        BatchNorm(outputs),
        nn.ReLU(),
    )

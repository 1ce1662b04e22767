"""What several backbones are made of: batch normalisation that is exact in channels_last, and positions of tokens."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tide.device import transformed
from tide.nn.weights import weight_of

# Batch normalisation: exact in channels_last, in which a CPU runs a backbone fastest; by each batch in evaluation.


class BatchNorm(nn.BatchNorm2d):
    """``nn.BatchNorm2d``; in training on a CPU and in channels_last with statistics that are exact.

    There PyTorch (2.6 to 2.13) adds a channel's values up one by one: its mean is off by up to 1e-4 of the deviation,
    1,000 times as much as in NCHW, which takes four times as long.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Normalise features (B, C, H, W) by channel."""
        if not self.training or not _adds_up_one_by_one(features):
            return super().forward(features)
        normalised, mean, variance = _ChannelsLast.apply(  # type: ignore[no-untyped-call]
            features, self.weight, self.bias, self.eps
        )
        if self.track_running_stats:
            self._move_(mean, variance, features.numel() // features.shape[1])
        result: Tensor = normalised
        return result

    @torch.no_grad()
    def _move_(self, mean: Tensor, variance: Tensor, values: int) -> None:
        """Move the statistics that there are, as PyTorch does: without a momentum they are the mean over batches."""
        share = 0.0 if self.momentum is None else self.momentum
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            share = 1.0 / float(self.num_batches_tracked) if self.momentum is None else share
        if self.running_mean is not None:
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        if self.running_var is not None:
            self.running_var.lerp_((variance * (values / (values - 1))).to(self.running_var.dtype), share)


def _adds_up_one_by_one(features: Tensor) -> bool:
    if transformed():
        return False
    on_cpu = features.device.type == "cpu" and features.dtype in (torch.float32, torch.float64)
    several = features.numel() > features.shape[1]  # one value per channel is PyTorch's to refuse
    return on_cpu and several and features.is_contiguous(memory_format=torch.channels_last)


class _ChannelsLast(torch.autograd.Function):
    """(features, weight, bias, eps) → features normalised by their batch; mean and biased variance (C)."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        values = features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])
        mean = values.mean(0)
        variance = (values - mean).square_().mean(0)
        ctx.save_for_backward(features, weight, mean, torch.rsqrt(variance + eps))
        ctx.mark_non_differentiable(mean, variance)
        ctx.eps = eps
        return F.batch_norm(features, mean, variance, weight, bias, training=False, eps=eps), mean, variance

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        features, weight, mean, inverse_deviation = ctx.saved_tensors
        needs_gradient = ctx.needs_input_grad[:3]
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        gradients = torch.ops.aten.native_batch_norm_backward(
            gradient, features, weight, None, None, mean, inverse_deviation, True, ctx.eps, needs_gradient
        )
        return *gradients, None


@contextmanager
def statistics_of_batches(model: nn.Module) -> Iterator[None]:
    """Normalise by each batch's own mean and variance in eval mode, too, for the time of the block.

    The running statistics stay as training left them. Under a shift of the images these no longer fit, and the batch's
    do (Schneider et al., Improving robustness against common corruptions by covariate shift adaptation, 2020); an
    answer then depends on the images beside it.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    running = [(norm.running_mean, norm.running_var) for norm in norms]
    for norm in norms:
        norm.running_mean = norm.running_var = None
    try:
        yield
    finally:
        for norm, (mean, variance) in zip(norms, running, strict=True):
            norm.running_mean, norm.running_var = mean, variance


# Tokens, and where they are: sinusoidal positions in one and two dimensions, half a turn along a sequence.


def as_tokens(features: Tensor) -> Tensor:
    """Return every place of a map (B, d_kv, H, W) as a token, row by row, (B, H·W, d_kv)."""
    return features.flatten(2).transpose(1, 2)


def sinusoidal_positions(rows: int, columns: int, width: int) -> Tensor:
    """Return positions (width, rows, columns): half of the channels encode the row, half the column.

    Each half holds sines, then cosines, of the coordinate at wavelengths from 2π to 10000·2π (Vaswani et al., 2017).
    Each channel has mean zero over the grid: on a small grid most wavelengths are far longer than the image, and
    their constant part says nothing of the place but drowns what differs between images. ``width`` must be a multiple
    of 4.
    """
    quarter = width // 4
    frequency = torch.exp(torch.arange(quarter) * (-math.log(10_000.0) / quarter))

    def encode(length: int) -> Tensor:
        angle = torch.arange(length)[None] * frequency[:, None]
        return torch.cat((angle.sin(), angle.cos()))

    by_row = encode(rows)[:, :, None].expand(-1, -1, columns)
    by_column = encode(columns)[:, None, :].expand(-1, rows, -1)
    positions = torch.cat((by_row, by_column))
    return positions - positions.mean((1, 2), keepdim=True)


def sinusoidal_sequence(length: int, width: int) -> Tensor:
    """Return positions (length, width): sine and cosine in turns, at wavelengths from 2π to 10000·2π.

    As in Vaswani et al. (2017). ``width`` must be even.
    """
    frequency = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angle = torch.arange(length)[:, None] * frequency
    return torch.stack((angle.sin(), angle.cos()), 2).flatten(1)


class RotationalPositions(nn.Module):
    """Positions of a sequence as a learned map of a vector that makes half a turn along it.

    The reference CTM's ``custom-rotational-1d`` (arXiv:2505.05522): (0, 1) turned by 0° at the first place to 180° at
    the last, then ``projection``.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.projection = nn.Linear(2, width)

    def forward(self, length: int) -> Tensor:
        """Return positions (length, width)."""
        angle = torch.linspace(0, math.pi, length).to(weight_of(self.projection))
        positions: Tensor = self.projection(torch.stack((-angle.sin(), angle.cos()), 1))
        return positions

"""A backbone as exported graphs want it: the same function of the images, in fewer and more common operators."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class AverageGrid(nn.Module):
    """``nn.AdaptiveAvgPool2d`` for images of one size: a matrix of averages on either side.

    ONNX has no operator for windows of unequal size, so the pooling itself would become hundreds of small ones.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, size: torch.Size, grid: int) -> None:
        super().__init__()
        self.register_buffer("rows", averages(size[0], grid))
        self.register_buffer("columns", averages(size[1], grid).t().contiguous())

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, channels, *size) to (B, channels, grid, grid)."""
        return self.rows @ images @ self.columns


def averages(size: int, grid: int) -> Tensor:
    """Return the matrix (grid, size) whose rows average the windows of adaptive pooling."""
    return F.adaptive_avg_pool1d(torch.eye(size), grid).t().contiguous()


class Affine(nn.Module):
    """``nn.BatchNorm2d`` in eval mode: y = a x + b per channel.

    Exporters multiply a BatchNorm into the convolution before it; so the convolution's weights stay what they are.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        self.register_buffer("scale", scale[:, None, None])
        self.register_buffer("shift", (norm.bias - norm.running_mean * scale)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, channels, H, W)."""
        return images * self.scale + self.shift


@torch.no_grad()
def exportable(backbone: nn.Module, images: Tensor) -> nn.Module:
    """Return a copy of ``backbone`` for images of the size of ``images`` (B, channels, H, W)."""
    sizes: dict[nn.Module, torch.Size] = {}
    pools = [module for module in backbone.modules() if isinstance(module, nn.AdaptiveAvgPool2d)]
    hooks = [
        pool.register_forward_pre_hook(lambda module, inputs: sizes.update({module: inputs[0].shape[2:]}))
        for pool in pools
    ]
    backbone(images)
    for hook in hooks:
        hook.remove()
    return _replaced(copy.deepcopy(backbone), backbone, sizes)


def _replaced(module: nn.Module, original: nn.Module, sizes: dict[nn.Module, torch.Size]) -> nn.Module:
    if isinstance(original, nn.BatchNorm2d):
        return Affine(original)
    if isinstance(original, nn.AdaptiveAvgPool2d):
        grid = original.output_size
        assert isinstance(grid, int)  # as our backbones have it
        return AverageGrid(sizes[original], grid)
    for name, child in original.named_children():
        setattr(module, name, _replaced(getattr(module, name), child, sizes))
    return module

"""Deep hierarchical receptive field: a center-surround stem, four residual stages (equations §6; Appendix E)."""

from __future__ import annotations

from torch import Tensor, nn

from tide.backbones.hrf import CenterSurround
from tide.backbones.positions import sinusoidal_positions
from tide.backbones.resnet import BasicBlock
from tide.config import DeepHRFConfig

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
        tokens: Tensor = (features + self.positions).flatten(2).transpose(1, 2)
        return tokens


def _start_at_zero_(norm: nn.Module) -> None:
    assert isinstance(norm, nn.BatchNorm2d)
    nn.init.zeros_(norm.weight)
    nn.init.zeros_(norm.bias)

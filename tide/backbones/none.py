"""No backbone: the input is a feature map, or numbers that drive the neurons."""

from __future__ import annotations

from torch import Tensor, nn


class FeatureMap(nn.Module):
    """A feature map (B, d_kv, H, W) → tokens (B, H·W, d_kv), row by row; numbers (B, d) as they are."""

    def forward(self, features: Tensor) -> Tensor:
        """Return every place as a token."""
        return features.flatten(2).transpose(1, 2) if features.dim() > 2 else features

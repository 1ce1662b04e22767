"""Cross-attention: the latent state reads the tokens (equations §2.1)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn


class AttentionRead(NamedTuple):
    """What one read returns: output (B, d_attn) and attention weights (B, heads, N), each row summing to one."""

    output: Tensor
    weights: Tensor


class CrossAttention(nn.Module):
    """Multi-head scaled dot-product attention with one query, the latent state.

    Keys and values depend on the image only: :meth:`prepare` computes them once, :meth:`forward` reads them at
    every tick. With ``residual`` a linear map of the latent state is added inside the LayerNorm (ImageNet).
    """

    def __init__(self, latent: int, features: int, width: int, heads: int, *, residual: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(latent, width)
        self.key = nn.Linear(features, width)
        self.value = nn.Linear(features, width)
        self.output = nn.Linear(width, width)
        self.skip = nn.Linear(latent, width) if residual else None
        self.norm = nn.LayerNorm(width)

    def prepare(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys (B, heads, d_head, N), scaled by 1/√d_head, and values (B, heads, N, d_head).

        ``tokens`` is (B, N, d_kv). Keys come transposed and scaled so that a tick does neither.
        """
        shape = (*tokens.shape[:2], self.heads, -1)
        keys = self.key(tokens).reshape(shape).permute(0, 2, 3, 1)
        values = self.value(tokens).reshape(shape).transpose(1, 2)
        return (keys / math.sqrt(keys.shape[2])).contiguous(), values.contiguous()

    def forward(self, latent: Tensor, keys: Tensor, values: Tensor) -> AttentionRead:
        """Read the tokens with ``latent`` (B, d_z)."""
        query = self.query(latent).unflatten(-1, (self.heads, 1, -1))
        weights = torch.softmax(query @ keys, dim=-1)
        output = self.output((weights @ values).flatten(1))
        if self.skip is not None:
            output = output + self.skip(latent)
        return AttentionRead(self.norm(output), weights.squeeze(2))

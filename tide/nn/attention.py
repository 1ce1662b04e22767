"""Cross-attention: the latent state reads the tokens (equations §2.1)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tide.nn.weights import held, refresh


class AttentionRead(NamedTuple):
    """What one read returns: output (B, d_attn) and attention weights (B, heads, N), each row summing to one."""

    output: Tensor
    weights: Tensor


def bypass_read(drive: Tensor, keys: Tensor) -> AttentionRead:
    """Return a drive (B, d) in the place of what was read of ``keys`` (B, heads, d_head, N), to which none attends."""
    return AttentionRead(drive, keys.new_zeros(*keys.shape[:2], keys.shape[-1]))


def empty_keys_and_values(batch: int, heads: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return keys and values of no token at all."""
    return like.new_zeros(batch, heads, 0, 0), like.new_zeros(batch, heads, 0, 0)


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


class ReaderWeights(NamedTuple):
    """The query's two linear maps as one, scaled by 1/√d_head: weightᵀ (inputs, width) and bias (width,)."""

    query: Tensor
    query_bias: Tensor


class ProjectedAttention(nn.Module):
    """Attention of the baselines: Linear and LayerNorm on the tokens, Linear on the query, then multi-head attention.

    As in the reference CTM and LSTM (arXiv:2505.05522), whose multi-head attention projects all three once more.
    ``inner`` and ``inner_bias`` hold these projections of query, key and value, one below the other.
    """

    def __init__(self, latent: int, features: int, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.tokens = nn.Linear(features, width)
        self.token_norm = nn.LayerNorm(width)
        self.query = nn.Linear(latent, width)
        self.inner = nn.Parameter(torch.empty(3 * width, width))
        self.inner_bias = nn.Parameter(torch.zeros(3 * width))
        self.output = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.inner)
        nn.init.zeros_(self.output.bias)

    def compose(self) -> ReaderWeights:
        """Compose what every tick uses."""
        refresh(self)
        weight, query_bias = held(self.query)
        assert query_bias is not None
        inner, bias = self.inner.chunk(3)[0], self.inner_bias.chunk(3)[0]
        scale = math.sqrt(inner.shape[0] // self.heads)
        return ReaderWeights((inner @ weight).t() / scale, (inner @ query_bias + bias) / scale)

    def prepare(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys (B, heads, d_head, N) and values (B, heads, N, d_head) of tokens (B, N, d_kv)."""
        shape = (*tokens.shape[:2], self.heads, -1)
        read = self.token_norm(self.tokens(tokens))
        _, key, value = self.inner.chunk(3)
        _, key_bias, value_bias = self.inner_bias.chunk(3)
        keys = nn.functional.linear(read, key, key_bias).reshape(shape).permute(0, 2, 3, 1)
        values = nn.functional.linear(read, value, value_bias).reshape(shape).transpose(1, 2)
        return keys.contiguous(), values.contiguous()

    def forward(self, latent: Tensor, keys: Tensor, values: Tensor, weights: ReaderWeights) -> AttentionRead:
        """Read the tokens with ``latent`` (B, d_z); in training, attention weights are dropped and not renormalised."""
        query = torch.addmm(weights.query_bias, latent, weights.query).reshape(latent.shape[0], self.heads, 1, -1)
        attention = torch.softmax(query @ keys, dim=-1)
        if self.dropout > 0:
            attention = nn.functional.dropout(attention, self.dropout, self.training)
        return AttentionRead(self.output((attention @ values).flatten(1)), attention.squeeze(2))

"""From latent state to logits, and how certain logits are (equations §2.9)."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from tide.core.rows import reached_rows


class OutputHead(nn.Module):
    """Linear → GLU → LayerNorm → Linear on the latent state (and the memory), at one tick or at all of them."""

    def __init__(self, inputs: int, hidden: int, classes: int, dropout: float, norm_epsilon: float = 1e-5) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(inputs, 2 * hidden),
            nn.GLU(dim=-1),
            nn.LayerNorm(hidden, eps=norm_epsilon),
            nn.Linear(hidden, classes),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits (B, C, T) from (B, T, inputs)."""
        inputs, after_dropout = self.layers[0](inputs), self.layers[1:]
        logits = reached_rows(after_dropout(inputs), after_dropout, (inputs,), tuple(after_dropout.parameters()))
        return logits.transpose(1, 2)


def certainty(logits: Tensor) -> Tensor:
    """Return 1 − H(softmax)/ln C, in [0, 1], of logits (B, C, T) as (B, T)."""
    log_p = F.log_softmax(logits, dim=1)
    entropy = -(log_p.exp() * log_p).sum(1)
    return (1 - entropy / math.log(logits.shape[1])).clamp(0, 1)  # rounding may leave [0, 1] by 1e-6


def most_certain(logits: Tensor, certainties: Tensor) -> Tensor:
    """Return the logits (B, C) at each sample's most certain tick (the first, where several tie)."""
    tick = certainties.argmax(1)
    return logits.gather(2, tick[:, None, None].expand(-1, logits.shape[1], 1)).squeeze(2)

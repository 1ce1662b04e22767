"""The LSTM baseline's cell (Darlow et al., arXiv:2505.05522): an LSTM that reads the image by attention."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from tide.config import LSTMConfig, register
from tide.models.cell import Observable, ReadingCell, ReadingContext, Readout, State
from tide.models.reference import LSTM, from_reference_config
from tide.nn.attention import ProjectedAttention

__all__ = ["LSTM", "LSTMCell", "from_reference_config"]


class LSTMState(State):
    """What a tick hands to the next: ``hidden`` and ``memory`` of every layer, (layers, B, D)."""

    batch_dim: ClassVar = {"hidden": 1, "memory": 1}

    hidden: Tensor
    memory: Tensor


class LSTMFeatures(NamedTuple):
    """Everything one tick computed: the top layer's hidden and cell state (B, D), attention weights (B, heads, N)."""

    hidden: Tensor
    memory: Tensor
    attention: Tensor


OBSERVABLES: Mapping[str, Observable] = {
    "post_activations": Observable(lambda f: f.hidden, "readout"),
    # An LSTM has none; the reference reports zeros.
    "pre_activations": Observable(lambda f: torch.zeros_like(f.hidden)),
    "cell_state": Observable(lambda f: f.memory),
    "attention": Observable(lambda f: f.attention),
}
"""What can be recorded of a tick, from its :class:`LSTMFeatures`."""


@register("core", LSTMConfig)
class LSTMCell(ReadingCell):
    """Attention queried by the top layer's hidden state feeds a stack of LSTM layers, whose top gives the logits."""

    components: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "attention": ("attention",),
        "dynamics": ("lstm", "start_hidden", "start_memory"),
        "head": ("head",),
    }
    activity: ClassVar[Mapping[str, str]] = {"hidden state": "post_activations", "cell state": "cell_state"}
    steers: ClassVar[str] = "post_activations"

    def __init__(self, core: LSTMConfig, *, features: int, outputs: int, seed: int) -> None:
        """``features`` is the tokens' width d_kv, ``outputs`` how many logits a tick has; no pairs are drawn."""
        super().__init__()
        self.config = core
        self.attention = (
            ProjectedAttention(core.neurons, features, core.attention_width, core.heads, core.dropout)
            if core.attends
            else None
        )
        self.inputs = core.attention_width if core.attends else features
        # Between layers only; torch warns where there is nothing between.
        dropout = core.dropout if core.layers > 1 else 0.0
        self.lstm = nn.LSTM(self.inputs, core.neurons, core.layers, dropout=dropout)
        self.head = nn.Linear(core.neurons, outputs)
        self.start_hidden, self.start_memory = (
            nn.Parameter((2 * torch.rand(core.layers, core.neurons) - 1) / math.sqrt(core.neurons)) for _ in range(2)
        )

    @property
    def observables(self) -> Mapping[str, Observable]:
        """All of :data:`OBSERVABLES`; attention only where there is one."""
        return {name: item for name, item in OBSERVABLES.items() if name != "attention" or self.config.attends}

    def context(self, x: Tensor) -> ReadingContext:
        """Compose the weights, and attach the input."""
        weights = self.attention.compose() if self.attention is not None else None
        return self.reading(x, weights, self.config.heads)

    def set_input(self, context: ReadingContext, x: Tensor | None) -> ReadingContext:
        """Attach tokens to attend to, or a drive; with attention, a drive passes its projection of tokens."""
        if self.attention is not None and x is not None and x.dim() == 2:
            return context.replace(drive=self.attention.token_norm(self.attention.tokens(x)))
        return super().set_input(context, x)

    def initial(self, batch: int) -> LSTMState:
        """Learned start states."""
        hidden, memory = (
            start[:, None].expand(-1, batch, -1).contiguous() for start in (self.start_hidden, self.start_memory)
        )
        return LSTMState(hidden=hidden, memory=memory)

    def step(self, context: ReadingContext, state: LSTMState) -> tuple[LSTMState, LSTMFeatures]:
        """Advance by one tick."""
        read = self.read(context, state.hidden[-1], context.weights)
        _, (hidden, memory) = self.lstm(read.output[None], (state.hidden, state.memory))
        return LSTMState(hidden=hidden, memory=memory), LSTMFeatures(hidden[-1], memory[-1], read.weights)

    @property
    def reads(self) -> tuple[str, ...]:
        """The head reads the top layer's hidden state."""
        return ("post_activations",)

    def readout(self, observed: Mapping[str, Tensor], carry: None = None) -> Readout:
        """Logits of the top layer's hidden state, over all given ticks at once."""
        return Readout(self.head(observed["post_activations"]).transpose(1, 2), {}, None)

"""The LSTM baseline's cell (Darlow et al., arXiv:2505.05522): an LSTM that reads the image by attention."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from tide.config import LSTMConfig
from tide.core.attention import ProjectedAttention, ReaderWeights, driven, nothing_to_read
from tide.models.cell import Cell, Readout


class LSTMState(NamedTuple):
    """What a tick hands to the next: ``hidden`` and ``memory`` of every layer, (layers, B, D); the rest stays.

    ``drive`` (B, d) stands in the place of keys and values where there is one.
    """

    weights: ReaderWeights | None
    keys: Tensor
    values: Tensor
    hidden: Tensor
    memory: Tensor
    drive: Tensor | None = None

    def detach(self) -> Self:
        """Cut the gradient to earlier ticks; keys, values and weights keep theirs."""
        return self._replace(hidden=self.hidden.detach(), memory=self.memory.detach())

    def rows(self, index: Tensor) -> Self:
        """Keep the samples named by ``index``."""
        return self._replace(
            keys=self.keys[index],
            values=self.values[index],
            hidden=self.hidden[:, index].contiguous(),
            memory=self.memory[:, index].contiguous(),
            drive=self.drive[index] if self.drive is not None else None,
        )


class LSTMFeatures(NamedTuple):
    """Everything one tick computed: the top layer's hidden and cell state (B, D), attention weights (B, heads, N)."""

    hidden: Tensor
    memory: Tensor
    attention: Tensor


class LSTMCell(Cell):
    """Attention queried by the top layer's hidden state feeds a stack of LSTM layers, whose top gives the logits."""

    observables: ClassVar[Mapping[str, Callable[[LSTMFeatures], Tensor]]] = {
        "post_activations": lambda f: f.hidden,
        "pre_activations": lambda f: torch.zeros_like(f.hidden),  # an LSTM has none; the reference reports zeros
        "cell_state": lambda f: f.memory,
        "attention": lambda f: f.attention,
    }
    needed = ("post_activations",)
    components: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "attention": ("attention",),
        "dynamics": ("lstm", "start_hidden", "start_memory"),
        "head": ("head",),
    }
    activity: ClassVar[Mapping[str, str]] = {"hidden state": "post_activations", "cell state": "cell_state"}

    def __init__(self, core: LSTMConfig, *, features: int, outputs: int) -> None:
        """``features`` is the tokens' width d_kv, ``outputs`` how many logits a tick has."""
        super().__init__()
        self.config = core
        self.attention = (
            ProjectedAttention(core.neurons, features, core.attention_width, core.heads, core.dropout)
            if core.attends
            else None
        )
        self.absent = () if core.attends else ("attention",)
        self.inputs = core.attention_width if core.attends else features
        # Between layers only; torch warns where there is nothing between.
        dropout = core.dropout if core.layers > 1 else 0.0
        self.lstm = nn.LSTM(self.inputs, core.neurons, core.layers, dropout=dropout)
        self.head = nn.Linear(core.neurons, outputs)
        self.start_hidden, self.start_memory = (
            nn.Parameter((2 * torch.rand(core.layers, core.neurons) - 1) / math.sqrt(core.neurons)) for _ in range(2)
        )

    def begin(self, shown: Tensor) -> LSTMState:
        """Learned start states."""
        batch = shown.shape[0]
        hidden, memory = (
            start[:, None].expand(-1, batch, -1).contiguous() for start in (self.start_hidden, self.start_memory)
        )
        weights = self.attention.compose() if self.attention is not None else None
        keys, values = nothing_to_read(batch, self.config.heads, hidden)
        return self.show(LSTMState(weights, keys, values, hidden, memory), shown)

    def show(self, state: LSTMState, shown: Tensor | None) -> LSTMState:
        """Let the next ticks read tokens, or be driven; with attention, a drive passes its projection of tokens."""
        if shown is None:
            return state._replace(drive=state.hidden.new_zeros(state.hidden.shape[1], self.inputs))
        if self.attention is None:
            return state._replace(drive=shown)
        if shown.dim() == 2:
            return state._replace(drive=self.attention.token_norm(self.attention.tokens(shown)))
        keys, values = self.attention.prepare(shown)
        return state._replace(keys=keys, values=values, drive=None)

    def step(self, state: LSTMState) -> tuple[LSTMState, LSTMFeatures]:
        """Advance by one tick."""
        if state.drive is not None:
            read = driven(state.drive, state.keys)
        else:
            assert self.attention is not None
            read = self.attention(state.hidden[-1], state.keys, state.values, state.weights)
        _, (hidden, memory) = self.lstm(read.output[None], (state.hidden, state.memory))
        return state._replace(hidden=hidden, memory=memory), LSTMFeatures(hidden[-1], memory[-1], read.weights)

    def readout(self, observed: Mapping[str, Tensor], carry: None = None) -> Readout:
        """Logits of the top layer's hidden state, over all given ticks at once."""
        return Readout(self.head(observed["post_activations"]).transpose(1, 2), {}, None)

"""The LSTM baseline's cell (Darlow et al., arXiv:2505.05522): an LSTM that reads the image by attention."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from tide.config import LSTMConfig, ScheduleConfig
from tide.models.cell import Cell, Readout
from tide.models.reference import ReferenceModel, check_arguments, model_config, shared_names, task_of
from tide.nn.attention import ProjectedAttention, ReaderWeights, driven, nothing_to_read

# The LSTM baseline's cell (Darlow et al., arXiv:2505.05522): an LSTM that reads the image by attention.


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


# The LSTM baseline as a model: weights and configurations of its reference implementation (arXiv:2505.05522).


REQUIRED = {
    "d_model": "neurons",
    "d_input": "attention_width",
    "heads": "heads",
}
"""The reference constructor's argument → our setting, of those without a default."""
START = {"start_hidden": "start_hidden_state", "start_memory": "start_cell_state"}


class LSTM(ReferenceModel):
    """The LSTM baseline; see :class:`~tide.models.thinker.Thinker` for its use."""

    cell: LSTMCell

    def reference_names(self) -> dict[str, str]:
        """Return the reference's name of each of the cell's parameters, by our name; shapes are the same."""
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        if self._of_cells():
            layers = {f"lstm.{kind}_l0": f"lstm_cell.{kind}" for kind in kinds}
        else:
            each = [f"lstm.{kind}_l{layer}" for layer in range(self.cell.config.layers) for kind in kinds]
            layers = {name: name for name in each}
        return {**shared_names(self.cell.config.attends), **layers, **START}

    def reference_shape(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the reference's shape of what has this name there and ``shape`` here."""
        return shape[1:] if self._of_cells() and name in START.values() else shape

    def _of_cells(self) -> bool:
        """Whether the reference's model is a single LSTM cell and no stack of layers: so on questions over digits."""
        return isinstance(self.config.input, ScheduleConfig)


def from_reference_config(arguments: Mapping[str, Any]) -> LSTM:
    """Build the baseline from the arguments of the reference's constructor and, as ``kind``, the task that it is for.

    ``lstm`` takes the feature map itself; ``lstm_parity``, ``lstm_maze`` and ``lstm_qamnist`` what
    :mod:`tide.models.reference` says. Raises :class:`~tide.errors.ConfigError` for arguments that are unknown,
    missing or out of range, and for backbones and positional embeddings that are not built here.
    """
    task = task_of(arguments, "lstm")
    layers = {} if task.ticks == "iterations_for_answering" else {"num_layers": "layers"}
    named = REQUIRED | layers | {task.ticks: "ticks"}
    check_arguments(
        arguments, (*named, "out_dims", *task.further), ("dropout", "kind", *task.optional, *task.of_loss), task.fixed
    )
    settings = {"layers": 1} | {ours: arguments[theirs] for theirs, ours in named.items()}
    return LSTM(model_config(LSTMConfig(**settings, dropout=arguments.get("dropout", 0.0)), arguments, task))

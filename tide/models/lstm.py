"""The LSTM baseline's cell (Darlow et al., arXiv:2505.05522): an LSTM that reads the image by attention."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from tide.config import LSTMConfig, ScheduleConfig, register
from tide.models.cell import Cell, Context, Observable, Readout, State
from tide.models.reference import ReferenceModel, check_arguments, model_config, shared_names, task_of
from tide.nn.attention import ProjectedAttention, ReaderWeights, bypass_read, empty_keys_and_values

# The LSTM baseline's cell (Darlow et al., arXiv:2505.05522): an LSTM that reads the image by attention.


class LSTMContext(Context):
    """What is given to all ticks: weights, and keys and values of the tokens, or a ``drive`` (B, d) in their place."""

    batch_dim: ClassVar = {"weights": None}

    weights: ReaderWeights | None
    keys: Tensor
    values: Tensor
    drive: Tensor | None = None


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
class LSTMCell(Cell):
    """Attention queried by the top layer's hidden state feeds a stack of LSTM layers, whose top gives the logits."""

    components: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "attention": ("attention",),
        "dynamics": ("lstm", "start_hidden", "start_memory"),
        "head": ("head",),
    }
    activity: ClassVar[Mapping[str, str]] = {"hidden state": "post_activations", "cell state": "cell_state"}

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

    def context(self, x: Tensor) -> LSTMContext:
        """Compose the weights, and attach the input."""
        weights = self.attention.compose() if self.attention is not None else None
        keys, values = empty_keys_and_values(x.shape[0], self.config.heads, self.start_hidden)
        return self.set_input(LSTMContext(weights=weights, keys=keys, values=values), x)

    def set_input(self, context: LSTMContext, x: Tensor | None) -> LSTMContext:
        """Attach tokens to attend to, or a drive; with attention, a drive passes its projection of tokens."""
        if x is None:
            return context.replace(drive=context.keys.new_zeros(len(context.keys), self.inputs))
        if self.attention is None:
            return context.replace(drive=x)
        if x.dim() == 2:
            return context.replace(drive=self.attention.token_norm(self.attention.tokens(x)))
        keys, values = self.attention.prepare(x)
        return context.replace(keys=keys, values=values, drive=None)

    def initial(self, batch: int) -> LSTMState:
        """Learned start states."""
        hidden, memory = (
            start[:, None].expand(-1, batch, -1).contiguous() for start in (self.start_hidden, self.start_memory)
        )
        return LSTMState(hidden=hidden, memory=memory)

    def step(self, context: LSTMContext, state: LSTMState) -> tuple[LSTMState, LSTMFeatures]:
        """Advance by one tick."""
        if context.drive is not None:
            read = bypass_read(context.drive, context.keys)
        else:
            assert self.attention is not None
            read = self.attention(state.hidden[-1], context.keys, context.values, context.weights)
        _, (hidden, memory) = self.lstm(read.output[None], (state.hidden, state.memory))
        return LSTMState(hidden=hidden, memory=memory), LSTMFeatures(hidden[-1], memory[-1], read.weights)

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

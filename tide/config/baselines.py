"""The cores of the baselines, CTM and LSTM, with the options of their reference implementation.

Reference: Darlow et al., Continuous Thought Machines, arXiv:2505.05522, and its published code. What its constructor
calls ``d_model`` is ``neurons`` here, ``iterations`` ``ticks``, ``d_input`` ``attention_width``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tide.config.checks import core_size, not_negative, one_of, positive
from tide.errors import check

PairSelection = Literal["random-pairing", "random", "first-last"]


@dataclass(frozen=True, kw_only=True)
class CTMConfig:
    """The recurrent core of the Continuous Thought Machine."""

    kind: Literal["ctm"] = "ctm"
    """Which core: tide, ctm or lstm."""
    neurons: int = 256
    """Neurons D."""
    ticks: int = 50
    """Internal ticks T."""
    attention_width: int = 128
    """Width of queries, keys, values and output."""
    heads: int = 8
    """Number of attention heads; 0: no attention, the input stands before the state as it is."""
    synapse_depth: int = 4
    """Depth of the synapse model: 1 is one gated linear layer, more is a U-Net of so many widths."""
    memory_length: int = 25
    """Length M of the history of pre-activations in ticks."""
    hidden: int = 4
    """Hidden units of each neuron's own network; a shallow one has none."""
    deep: bool = True
    """Whether each neuron's own network has two layers (deep) or one (shallow)."""
    neuron_norm: bool = False
    """LayerNorm over the history inside the neuron-level models."""
    selection: PairSelection = "random-pairing"
    """Whose synchrony is read: so many random pairs, all pairs between random neurons, or all pairs among the first
    (for the output) and among the last neurons (for the attention)."""
    synchrony_out: int = 448
    """Pairs (random-pairing) or neurons (otherwise) whose synchrony gives the logits."""
    synchrony_action: int = 448
    """Pairs (random-pairing) or neurons (otherwise) whose synchrony steers the attention; 0 without attention."""
    self_pairs: int = 0
    """How many of the random pairs join a neuron with itself."""
    dropout: float = 0.0
    """Share dropped in training in attention weights and synapse inputs."""
    neuron_dropout: float | None = None
    """Share dropped in training in the neuron-level models' inputs (default: as `dropout`)."""

    @property
    def attends(self) -> bool:
        """Whether the input is read by attention."""
        return self.heads > 0

    @property
    def population(self) -> str:
        """The neurons in words."""
        return f"{self.neurons} neurons"

    @property
    def history(self) -> int:
        """Ticks that the neuron-level models see."""
        return self.memory_length

    def __post_init__(self) -> None:
        one_of("core", "kind", self.kind, ("ctm",))
        core_size(self.neurons, self.ticks)
        positive(
            "core",
            neurons=self.neurons,
            ticks=self.ticks,
            synapse_depth=self.synapse_depth,
            memory_length=self.memory_length,
            hidden=self.hidden,
            synchrony_out=self.synchrony_out,
        )
        not_negative("core", self_pairs=self.self_pairs, synchrony_action=self.synchrony_action)
        check(
            (self.synchrony_action > 0) == self.attends,
            f"core.synchrony_action is {self.synchrony_action} with core.heads = {self.heads}, "
            f"{'a value above 0' if self.attends else '0'} is wanted: it steers the attention",
        )
        _check_attention(self.attention_width, self.heads)
        one_of("core", "selection", self.selection, ("random-pairing", "random", "first-last"))
        if self.selection == "random-pairing":
            for name in ("synchrony_out", *(["synchrony_action"] * self.attends)):
                check(
                    getattr(self, name) > self.self_pairs,
                    f"core.self_pairs is {self.self_pairs}, fewer than core.{name} = {getattr(self, name)} are wanted",
                )
        if self.selection == "first-last":
            needed = self.synchrony_out + self.synchrony_action
            check(
                needed <= self.neurons,
                f"core.synchrony_out + core.synchrony_action is {needed}, at most core.neurons = {self.neurons} are "
                "wanted with selection first-last",
            )
        for name in ("dropout", "neuron_dropout"):
            _check_dropout(name, getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class LSTMConfig:
    """The recurrent core of the LSTM baseline: an LSTM that reads the image by attention at every tick."""

    kind: Literal["lstm"] = "lstm"
    """Which core: tide, ctm or lstm."""
    neurons: int = 256
    """Hidden units D of each layer."""
    ticks: int = 50
    """Internal ticks T."""
    layers: int = 2
    """Stacked LSTM layers."""
    attention_width: int = 128
    """Width of queries, keys, values and output."""
    heads: int = 8
    """Number of attention heads; 0: no attention, the input drives the first layer as it is."""
    dropout: float = 0.0
    """Share dropped in training in attention weights and between layers."""

    @property
    def attends(self) -> bool:
        """Whether the input is read by attention."""
        return self.heads > 0

    @property
    def population(self) -> str:
        """The neurons in words."""
        return f"{self.layers} x {self.neurons} units"

    def __post_init__(self) -> None:
        one_of("core", "kind", self.kind, ("lstm",))
        core_size(self.neurons, self.ticks)
        positive("core", neurons=self.neurons, ticks=self.ticks, layers=self.layers)
        _check_attention(self.attention_width, self.heads)
        _check_dropout("dropout", self.dropout)


def _check_attention(width: int, heads: int) -> None:
    positive("core", attention_width=width)
    not_negative("core", heads=heads)
    check(
        heads == 0 or width % heads == 0,
        f"core.heads is {heads}, a divisor of core.attention_width = {width} is wanted",
    )


def _check_dropout(name: str, value: float | None) -> None:
    check(value is None or 0 <= value < 1, f"core.{name} is {value}, a value in [0, 1) is wanted")

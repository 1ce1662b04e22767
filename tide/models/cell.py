"""The contract between a cell and the loop over ticks.

A cell is one step with explicit state. What is given is apart from what changes: a :class:`Context` holds the weights
that all ticks use and what is read, a :class:`State` what a tick hands to the next. The loop lives in
:mod:`tide.models.ticks`; whatever does not feed back into the next tick runs in :meth:`Cell.readout`, over as many
ticks as it is given.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

from torch import Tensor, nn

from tide.nn import Batched, RecurrentBlocks
from tide.nn.attention import AttentionRead, bypass_read, empty_keys_and_values
from tide.types import Dynamics


class Context(Batched):
    """What is given to all ticks: composed weights, and the input in the form in which a tick reads it."""


class ReadingContext(Context):
    """Weights, and keys and values of the tokens, or a ``drive`` (B, d) in the place of what is read of them."""

    batch_dim: ClassVar = {"weights": None}

    weights: Any
    keys: Tensor
    values: Tensor
    drive: Tensor | None = None


class State(Batched):
    """What a tick hands to the next.

    ``carry`` is what the read-out hands to the next read-out, None where it carries nothing: it runs behind the ticks,
    so a tick leaves it as it is.
    """

    carry: Batched | None = None


class Observable(NamedTuple):
    """A named quantity of every tick, which ``record=`` takes.

    ``read`` gives it, (B, ...), from what one tick computed; None where the read-out gives it. ``use`` says what needs
    it whether recorded or not: the ``"readout"``, the losses and monitors of the ``"dynamics"``, or nothing.
    """

    read: Callable[[Any], Tensor] | None
    use: Literal["readout", "dynamics", "record"] = "record"


class Readout(NamedTuple):
    """Logits (B, C |S|, T), named per-tick quantities (B, T, ...), and the carry to continue from at later ticks.

    Logits of several positions stand one behind the other, C for each.
    """

    logits: Tensor
    observed: dict[str, Tensor]
    carry: Batched | None


class Cell(nn.Module):
    """One tick of a recurrent model, and its read-out.

    ``components`` maps names that users know (for clipping,
    parameter counts, gradient norms) to the modules and parameters they cover; ``probes`` maps further names to
    prefixes of parameters whose gradient norms the stability monitor reports; ``activity`` maps the titles of the
    pictures of neurons over ticks to observables (B, T, neurons); ``steers`` names the observable that the attention's
    query is made of, where there is one. What has a body below fits a model without
    excitatory and inhibitory populations.

    For pictures and comparisons a cell offers ``activity``, one title or more. Attention is shown where there is an
    observable ``attention`` (B, heads, N), on a square of tokens or the rectangle nearest to it; the table of presets
    gives the ``history`` of its configuration. Both may be missing. A cell is made known by :func:`tide.register`.
    """

    components: ClassVar[Mapping[str, tuple[str, ...]]]
    activity: ClassVar[Mapping[str, str]]
    steers: ClassVar[str] = ""
    probes: ClassVar[Mapping[str, str]] = {}

    @property
    @abstractmethod
    def observables(self) -> Mapping[str, Observable]:
        """What can be recorded of a tick and of the read-out, by name."""

    @abstractmethod
    def context(self, x: Tensor) -> Context:
        """Compose the weights of all ticks, and attach the input ``x``, see :meth:`set_input`."""

    @abstractmethod
    def set_input(self, context: Any, x: Tensor | None) -> Context:
        """Attach a new input.

        Tokens (B, N, d_kv) to attend to, a drive (B, d) in place of the attention's output, or None for a drive of
        zeros.
        """

    @abstractmethod
    def initial(self, batch: int) -> State:
        """Return the state before the first tick of ``batch`` samples."""

    @abstractmethod
    def step(self, context: Any, state: Any) -> tuple[State, Any]:
        """Advance by one tick: (new state, features of this tick)."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the quantities that the head reads, one beside the other: an agent's critic reads the same."""
        raise NotImplementedError(f"{type(self).__name__} must name what its head reads to be an agent")

    @abstractmethod
    def readout(self, observed: Mapping[str, Tensor], carry: Any = None) -> Readout:
        """Return logits from the quantities that the read-out uses, stacked over ticks, (B, T, ...).

        ``carry`` is that of the state before these ticks.
        """

    def dynamics(self, last: Any, observed: Mapping[str, Tensor], carry: Any) -> Dynamics | None:
        """Return what losses and monitors read, from the last tick's features and the stacked quantities."""
        return None

    def blocks(self) -> RecurrentBlocks | None:
        """Return the four recurrent matrices of the two populations."""
        return None

    def certified_rate(self) -> float | None:
        """Return the factor per tick by which differences certainly shrink, None without a guarantee."""
        return None

    def pairs(self) -> Tensor | None:
        """Return the neuron pairs whose synchrony gives the logits, (2, P); observable ``synchrony`` (B, T, P)."""
        return None

    def consolidate_(
        self, batches: Sequence[Dynamics], average: Callable[[Tensor], Tensor] = lambda mean: mean
    ) -> None:
        """Move what persists over optimiser steps; training calls it once per accepted step.

        ``average`` takes the mean over these micro-batches to that over the micro-batches of all processes.
        """

    def used_by(self, *uses: str) -> tuple[str, ...]:
        """Return the names of the observables that are there for some ``uses``."""
        return tuple(name for name, observable in self.observables.items() if observable.use in uses)

    def of_ticks(self) -> tuple[str, ...]:
        """Return the names of the observables that a tick gives, and not the read-out."""
        return tuple(name for name, observable in self.observables.items() if observable.read is not None)

    def of_readout(self) -> tuple[str, ...]:
        """Return the names of the observables that the read-out gives."""
        return tuple(name for name, observable in self.observables.items() if observable.read is None)

    def observe(self, name: str, features: Any) -> Tensor:
        """Return a quantity (B, ...) of one tick from its features."""
        read = self.observables[name].read
        assert read is not None
        return read(features)


class ReadingCell(Cell):
    """A cell that reads tokens by an ``attention`` of :mod:`tide.nn.attention`, or without one takes a drive.

    ``inputs`` is the width of what is read.
    """

    attention: Any
    inputs: int

    def reading(self, x: Tensor, weights: Any, heads: int) -> ReadingContext:
        """Return the context of composed weights and an input."""
        keys, values = empty_keys_and_values(x.shape[0], heads, next(self.parameters()))
        context: ReadingContext = self.set_input(ReadingContext(weights=weights, keys=keys, values=values), x)
        return context

    def set_input(self, context: ReadingContext, x: Tensor | None) -> ReadingContext:
        """Attach tokens to attend to, or a drive in place of the attention's output."""
        if x is None:
            return context.replace(drive=context.keys.new_zeros(context.keys.shape[0], self.inputs))
        if self.attention is None or x.dim() == 2:
            return context.replace(drive=x)
        keys, values = self.attention.prepare(x)
        return context.replace(keys=keys, values=values, drive=None)

    def read(self, context: ReadingContext, query: Tensor | None, *weights: Any) -> AttentionRead:
        """Return what is read of the input, by a query (B, d) where there is attention."""
        if context.drive is not None:
            return bypass_read(context.drive, context.keys)
        read: AttentionRead = self.attention(query, context.keys, context.values, *weights)
        return read

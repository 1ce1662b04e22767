"""The contract between a cell and the loop over ticks.

A cell is one step with explicit state. The loop lives in :mod:`tide.models.thinker`; whatever does not feed back
into the next tick runs in :meth:`Cell.readout`, over as many ticks as it is given.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol, Self

from torch import Tensor, nn

from tide.core.wilson_cowan import RecurrentBlocks
from tide.types import Dynamics


class CellState(Protocol):
    """What a tick hands to the next: tensors only, in a NamedTuple."""

    def detach(self) -> Self:
        """Cut the gradient to earlier ticks; what depends on the image or weights only keeps its gradient."""
        ...

    def rows(self, index: Tensor) -> Self:
        """Keep the samples named by ``index`` (kept,)."""
        ...


class Readout(NamedTuple):
    """Logits (B, C, T), named per-tick quantities (B, T, ...), and the state to continue from at later ticks."""

    logits: Tensor
    observed: dict[str, Tensor]
    carry: Any


class Cell(nn.Module):
    """One tick of a recurrent model, and its read-out.

    ``observables`` maps names to functions of one tick's features that return (B, ...); ``needed`` names those that
    the read-out wants stacked over ticks; ``readout_observables`` names what the read-out adds. ``components`` maps
    names that users know (for clipping, parameter counts, gradient norms) to the submodules they cover; ``probes`` maps
    further names to prefixes of parameters whose gradient norms the stability monitor reports.
    """

    observables: ClassVar[Mapping[str, Callable[[Any], Tensor]]]
    needed: ClassVar[tuple[str, ...]]
    readout_observables: ClassVar[tuple[str, ...]]
    components: ClassVar[Mapping[str, tuple[str, ...]]]
    probes: ClassVar[Mapping[str, str]]

    @abstractmethod
    def begin(self, tokens: Tensor) -> CellState:
        """Return the state before the first tick, given tokens (B, N, d_kv)."""

    @abstractmethod
    def step(self, state: Any) -> tuple[CellState, Any]:
        """Advance by one tick: (new state, features of this tick)."""

    @abstractmethod
    def readout(self, observed: Mapping[str, Tensor], carry: Any = None) -> Readout:
        """Return logits from the ``needed`` quantities stacked over ticks, (B, T, ...)."""

    @abstractmethod
    def dynamics(self, last: Any, observed: Mapping[str, Tensor], carry: Any) -> Dynamics:
        """Return what losses and monitors read, from the last tick's features and the stacked quantities."""

    @abstractmethod
    def blocks(self) -> RecurrentBlocks:
        """Return the four non-negative recurrent matrices."""

    @abstractmethod
    def pairs(self) -> Tensor:
        """Return the neuron pairs whose synchrony is read, (2, P)."""

    @abstractmethod
    def consolidate_(self, batches: Sequence[Dynamics]) -> None:
        """Move what persists over optimiser steps; training calls it once per accepted step."""

    @classmethod
    def recordable(cls) -> tuple[str, ...]:
        """Names that ``record=`` takes."""
        return (*cls.observables, *cls.readout_observables)

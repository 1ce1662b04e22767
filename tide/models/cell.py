"""The contract between a cell and the loop over ticks.

A cell is one step with explicit state. The loop lives in :mod:`tide.models.thinker`; whatever does not feed back
into the next tick runs in :meth:`Cell.readout`, over as many ticks as it is given.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol, Self

from torch import Tensor, nn

from tide.nn.constraints import RecurrentBlocks
from tide.types import Dynamics


class CellState(Protocol):
    """What a tick hands to the next: tensors only, in a NamedTuple."""

    def detach(self) -> Self:
        """Cut the gradient to earlier ticks; what depends on the image or weights only keeps its gradient."""
        ...

    def rows(self, index: Tensor) -> Self:
        """Keep the samples named by ``index`` (kept,)."""
        ...


class Carry(Protocol):
    """What a read-out hands to the next one, where ticks are read one by one."""

    def rows(self, index: Tensor) -> Self:
        """Keep the samples named by ``index`` (kept,)."""
        ...


class Readout(NamedTuple):
    """Logits (B, C |S|, T), named per-tick quantities (B, T, ...), and the state to continue from at later ticks.

    Those of several positions stand one behind the other, C for each.
    """

    logits: Tensor
    observed: dict[str, Tensor]
    carry: Carry | None


class Cell(nn.Module):
    """One tick of a recurrent model, and its read-out.

    ``observables`` maps names to functions of one tick's features that return (B, ...); ``needed`` names those that
    the read-out wants stacked over ticks, ``needed_by_dynamics`` those that :meth:`dynamics` wants besides;
    ``readout_observables`` names what the read-out adds, ``absent`` the observables that this cell lacks.
    ``components`` maps names that users know (for clipping, parameter counts, gradient norms) to the modules and
    parameters they cover; ``probes`` maps further names to prefixes of parameters whose gradient norms the
    stability monitor reports; ``activity`` maps the titles of the pictures of neurons over ticks to observables (B,
    T, neurons). What has a body below fits a model without excitatory and inhibitory populations.

    For pictures and comparisons a cell offers ``activity``, one title or more. Attention is shown where there is an
    observable ``attention`` (B, heads, N), on a square of tokens or the rectangle nearest to it; the table of presets
    gives the ``history`` of its configuration. Both may be missing. An extension is made known by
    :func:`tide.register_cell`.
    """

    observables: ClassVar[Mapping[str, Callable[[Any], Tensor]]]
    needed: ClassVar[tuple[str, ...]]
    needed_by_dynamics: ClassVar[tuple[str, ...]] = ()
    readout_observables: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    components: ClassVar[Mapping[str, tuple[str, ...]]]
    activity: ClassVar[Mapping[str, str]]
    probes: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def begin(self, shown: Tensor) -> CellState:
        """Return the state before the first tick on what is shown, see :meth:`show`."""

    @abstractmethod
    def show(self, state: Any, shown: Tensor | None) -> CellState:
        """Return the state from which the next ticks read something else.

        Tokens (B, N, d_kv) are attended to; a drive (B, d) stands in the place of what attention would read; None is
        a drive of zeros.
        """

    @abstractmethod
    def step(self, state: Any) -> tuple[CellState, Any]:
        """Advance by one tick: (new state, features of this tick)."""

    @abstractmethod
    def readout(self, observed: Mapping[str, Tensor], carry: Any = None) -> Readout:
        """Return logits from the ``needed`` quantities stacked over ticks, (B, T, ...)."""

    def begin_readout(self, batch: int) -> Carry | None:
        """Return what :meth:`readout` starts from before the first tick; None where it carries nothing."""
        return None

    def dynamics(self, last: Any, observed: Mapping[str, Tensor], carry: Any) -> Dynamics | None:
        """Return what losses and monitors read, from the last tick's features and the stacked quantities."""
        return None

    def blocks(self) -> RecurrentBlocks | None:
        """Return the four recurrent matrices of the two populations."""
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

    def recordable(self) -> tuple[str, ...]:
        """Names that ``record=`` takes."""
        return (*(name for name in self.observables if name not in self.absent), *self.readout_observables)

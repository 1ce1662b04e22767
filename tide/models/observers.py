"""What watches the loop over ticks: one collects every tick, one answers and lets finished samples go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from tide.heads import certainty
from tide.models.cell import Carry, Cell, CellState
from tide.types import Prediction


class Observer(Protocol):
    """What the loop shows every tick to."""

    def observe(self, state: CellState, features: Any) -> CellState | None:
        """See the state after a tick and what the tick computed; return the state that goes on, None to stop."""
        ...


class Collector:
    """Keeps named quantities of every tick and all features of the last."""

    def __init__(self, cell: Cell, record: Iterable[str]) -> None:
        self.recorded = tuple(record)
        recorded = (name for name in self.recorded if name in cell.observables)
        wanted = dict.fromkeys((*cell.needed, *cell.needed_by_dynamics, *recorded))
        self._cell = cell
        self._functions = {name: cell.observables[name] for name in wanted}
        self._kept: dict[str, list[Tensor]] = {name: [] for name in wanted}
        self._stretches: list[Mapping[str, Tensor]] = []
        self.last: Any = None

    def observe(self, state: CellState, features: Any) -> CellState:
        """Keep one tick; the state goes on unchanged."""
        for name, function in self._functions.items():
            self._kept[name].append(function(features))
        self.last = features
        return state

    def take(self, observed: Mapping[str, Tensor], last: Any) -> None:
        """Keep ticks computed together: quantities (B, ticks, ...), and ``last``, what the last one computed."""
        self._stretches.append(observed)
        self.last = last

    def empty(self) -> Collector:
        """Return another that keeps the same and has seen nothing."""
        return Collector(self._cell, self.recorded)

    def extend(self, later: Collector) -> None:
        """Take over what another one saw of the ticks that follow."""
        for name, values in later._kept.items():
            self._kept[name].extend(values)
        self._stretches.extend(later._stretches)
        self.last = later.last

    def stacked(self) -> Mapping[str, Tensor]:
        """Return each kept quantity as (B, T, ...)."""
        if len(self._stretches) == 1:
            return self._stretches[0]
        if self._stretches:
            return {name: torch.cat([stretch[name] for stretch in self._stretches], 1) for name in self._kept}
        return {name: torch.stack(values, 1) for name, values in self._kept.items()}


class Halter:
    """Reads out every tick and lets a sample go once its certainty reaches the threshold.

    Samples that are done leave the state, so later ticks do not compute them. A sample that never gets there is
    answered at its most certain tick, as without halting.
    """

    recorded: tuple[str, ...] = ()  # beyond what the read-out needs

    def __init__(self, cell: Cell, threshold: float) -> None:
        self._cell, self._threshold = cell, threshold
        self._alive: Tensor | None = None  # positions in the batch of the samples still thinking
        self._carry: Carry | None = None
        self._best: tuple[Tensor, Tensor, Tensor] | None = None  # logits, certainty, ticks of the whole batch

    def observe(self, state: CellState, features: Any) -> CellState | None:
        """Read out one tick; return the state of the samples that go on, or None when all are done."""
        tick = {name: self._cell.observables[name](features)[:, None] for name in self._cell.needed}
        keep = self.read(tick)
        if len(keep) == 0:
            return None
        return state.rows(keep) if len(keep) < len(tick[self._cell.needed[0]]) else state

    def read(self, ticks: Mapping[str, Tensor]) -> Tensor:
        """Read out ticks from what the read-out needs, (B, ticks, ...); return which samples go on, (kept,)."""
        reading = self._cell.readout(ticks, self._carry)
        sure = certainty(reading.logits)
        keep = torch.arange(len(sure), device=sure.device)
        alive = keep if self._alive is None else self._alive
        for tick in range(sure.shape[1]):
            self._note(alive, reading.logits[keep, :, tick], sure[keep, tick])
            on = (sure[keep, tick] < self._threshold).nonzero().squeeze(1)
            if len(on) < len(keep):
                keep, alive = keep[on], alive[on]
        self._alive = alive
        self._carry = reading.carry
        if len(keep) < len(sure) and self._carry is not None:
            self._carry = self._carry.rows(keep)
        return keep

    def _note(self, alive: Tensor, logits: Tensor, sure: Tensor) -> None:
        """Keep the more certain of the answers (alive, C) at a tick and at those before."""
        if self._best is None:
            self._best = (logits.clone(), sure.clone(), torch.ones_like(alive))
            return
        better = sure > self._best[1][alive]
        self._best[0][alive[better]] = logits[better]
        self._best[1][alive[better]] = sure[better]
        self._best[2][alive] += 1

    def prediction(self) -> Prediction:
        """Return the answers for the whole batch, in its order."""
        assert self._best is not None
        logits, sure, ticks = self._best
        return Prediction(logits.argmax(1), sure, ticks, torch.softmax(logits, 1))

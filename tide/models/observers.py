"""What watches the loop over ticks: one collects every tick, one answers and lets finished samples go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from tide.config import OutputConfig
from tide.models.cell import Carry, Cell, CellState
from tide.models.heads import arranged, certainty, read_answers
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
    answered at its most certain tick, as without halting. Ticks before ``first`` are no answers.
    """

    recorded: tuple[str, ...] = ()  # beyond what the read-out needs

    def __init__(self, cell: Cell, output: OutputConfig, threshold: float, first: int = 0) -> None:
        self._cell, self._output, self._threshold, self._before = cell, output, threshold, first
        self._emitting: Tensor | None = None  # logits so far of those thinking, where a list is emitted over the ticks
        self._alive: Tensor | None = None  # positions in the batch of the samples still thinking
        self._carry: Carry | None = None
        # Logits (of an emitted list, its symbols), certainty and ticks of the whole batch.
        self._best: tuple[Tensor, Tensor, Tensor] | None = None

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
        answers, sure = self._answers(arranged(reading.logits, self._output))
        keep = torch.arange(len(sure), device=sure.device)
        alive = keep if self._alive is None else self._alive
        for tick in range(sure.shape[1]):
            if self._before > 0:
                self._before -= 1
                continue
            self._note(alive, answers[keep][..., tick], sure[keep, tick])
            on = (sure[keep, tick] < self._threshold).nonzero().squeeze(1)
            if len(on) < len(keep):
                keep, alive = keep[on], alive[on]
        self._alive = alive
        self._carry = reading.carry
        if len(keep) < len(sure) and self._carry is not None:
            self._carry = self._carry.rows(keep)
        if len(keep) < len(sure) and self._emitting is not None:
            self._emitting = self._emitting[keep]
        return keep

    def _answers(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is to be noted of some ticks, (B, ..., ticks), and how certain it is, (B, ticks)."""
        if not self._output.emitted:
            return logits, certainty(logits)
        self._emitting = logits if self._emitting is None else torch.cat((self._emitting, logits), -1)
        answer = read_answers(self._emitting, certainty(self._emitting), self._output)
        return answer.classes[..., -logits.shape[-1] :], answer.certainty[:, -logits.shape[-1] :]

    def _note(self, alive: Tensor, answers: Tensor, sure: Tensor) -> None:
        """Keep the more certain of the answers (alive, ...) at a tick and at those before."""
        if self._best is None:
            self._best = (answers.clone(), sure.clone(), torch.ones_like(alive))
            return
        better = sure > self._best[1][alive]
        self._best[0][alive[better]] = answers[better]
        self._best[1][alive[better]] = sure[better]
        self._best[2][alive] += 1

    def prediction(self) -> Prediction:
        """Return the answers for the whole batch, in its order."""
        assert self._best is not None
        answers, sure, ticks = self._best
        if self._output.emitted:
            return Prediction(answers, sure, ticks, None)
        return Prediction(answers.argmax(1), sure, ticks, torch.softmax(answers, 1))

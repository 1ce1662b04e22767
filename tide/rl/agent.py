"""A thinker that goes through a series: its state goes on from one observation to the next, for a whole episode."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tide.errors import InputError
from tide.models.cell import State
from tide.models.thinker import Thinker
from tide.models.ticks import Collector, Moment
from tide.nn import Batched


class Followed(NamedTuple):
    """What a thinker made of S observations of B series.

    ``logits`` (S, B, A) and ``value`` (S, B; zeros without a critic) after the last tick of each; the ``state`` after
    the last; recorded quantities in ``trace``, (S, T, B, ...); with populations the E-I ratio (S, T, B).
    """

    logits: Tensor
    value: Tensor
    state: State
    trace: dict[str, Tensor]
    ratio: Tensor | None


class Agent:
    """A thinker whose state goes on from one environment step to the next.

    ::

        agent = Agent(tide.create("cartpole.small"))
        state = agent.start(environments)
        out = agent.follow(seen[None], first[None], state)     # one step of every environment
        action = out.logits[0].argmax(-1)
        out = agent.follow(later, ends, out.state)             # (S, B, ...) at once, with gradient
    """

    def __init__(self, model: Thinker) -> None:
        self.model = model

    def start(self, batch: int) -> State:
        """Return a state of the right shapes to carry; the first observation of an episode replaces it."""
        with torch.no_grad():
            state: State = copied(self.model.cell.initial(batch))
        return state

    def follow(self, seen: Tensor, first: Tensor, state: State, *, record: Iterable[str] = ()) -> Followed:
        """Think T ticks about each of S observations in turn.

        Args:
            seen: what is observed, (S, B, ...).
            first: whether it is the first of an episode, (S, B) bool: the state is then replaced by the learned start
                before the observation is thought about.
            state: where each series stands, (B,); see :meth:`start`.
            record: names of quantities to return, as in :meth:`~tide.models.thinker.Thinker.forward`.

        Raises:
            InputError: observations or flags of another shape.
        """
        steps, batch = first.shape if first.dim() == 2 else (0, 0)
        if seen.shape[:2] != (steps, batch) or first.dtype != torch.bool:
            raise InputError(
                f"first must be bool (S, B) as seen is (S, B, ...), got {first.dtype} {tuple(first.shape)} beside "
                f"{tuple(seen.shape)}"
            )
        model, cell = self.model, self.model.cell
        perceived = model.perceive(seen.flatten(0, 1))
        drives = perceived.reshape(steps, batch, *perceived.shape[1:])
        context, start = cell.context(drives[0]), cell.initial(batch)
        ticks, names = model.config.core.ticks, tuple(record)
        read: list[Tensor] = []
        kept: list[dict[str, Tensor]] = []
        for drive, begins in zip(drives, first, strict=True):
            if drives.device.type != "cpu" or bool(begins.any()):
                state = state.where(begins, start)
            carry = state.carry
            collector = Collector(cell, names)
            moment = model.run_ticks(Moment(cell.set_input(context, drive), state), collector, ticks)
            assert moment is not None
            state, observed = moment.state, dict(collector.stacked())
            if carry is not None or set(names) & set(cell.of_readout()):
                reading = cell.readout(observed, carry)
                observed, state = observed | reading.observed, state.replace(carry=reading.carry)
            read.append(torch.cat([observed[name][:, -1] for name in cell.reads], -1))
            wanted = (*names, *("ei_ratio",) * ("ei_ratio" in observed))
            kept.append({name: observed[name].transpose(0, 1) for name in wanted})
        logits, value = self._answer(torch.stack(read))
        stacked = {name: torch.stack([step[name] for step in kept]) for name in kept[0]}
        return Followed(logits, value, state, {name: stacked[name] for name in names}, stacked.get("ei_ratio"))

    def _answer(self, read: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (S, B, A) and values (S, B) from what the heads read, (S, B, R)."""
        head: Any = self.model.cell.get_submodule("head")
        rows = read.flatten(0, 1)[:, None]
        logits = head(rows).squeeze(-1).unflatten(0, read.shape[:2])
        if self.model.critic is None:
            return logits, read.new_zeros(read.shape[:2])
        value = self.model.critic(head.norm(rows)).flatten()
        return logits, value.unflatten(0, read.shape[:2])


def copied(state: Any) -> Any:
    """Return a state that shares memory with nothing: a start is made of views of parameters."""
    values = {
        name: copied(value) if isinstance(value, Batched) else value.detach().clone() if value is not None else None
        for name, value in vars(state).items()
    }
    return type(state)(**values)

"""What a TIDE model does tick by tick on given images, in full."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from tide.config import ScheduleConfig
from tide.errors import InputError
from tide.evaluate.answers import evaluating
from tide.models.cell import CellState
from tide.models.thinker import Thinker
from tide.models.tide import TideCell, TideFeatures, TideState


class Trajectory(NamedTuple):
    """States before and features of every tick, T each; ``rates`` (T, B, D) are those of the dynamics."""

    states: list[TideState]
    features: list[TideFeatures]

    @property
    def rates(self) -> Tensor:
        """Rates of the Wilson-Cowan step, before the lateral inhibition, (T, B, D)."""
        return torch.stack([features.rates for features in self.features])

    @property
    def drive(self) -> Tensor:
        """Drive U o + b, (T, B, D)."""
        return torch.stack([features.drive for features in self.features])


class _Keeper:
    """Keeps the state after and the features of every tick."""

    def __init__(self) -> None:
        self.states: list[TideState] = []
        self.features: list[TideFeatures] = []

    def observe(self, state: CellState, features: Any) -> CellState:
        self.states.append(cast(TideState, state))
        self.features.append(features)
        return state


def follow(model: Thinker, images: Tensor, ticks: int | None = None) -> Trajectory:
    """Let ``model`` think about ``images`` (B, channels, H, W) in eval mode and keep everything.

    Raises :class:`~tide.errors.InputError` for a model without excitatory and inhibitory populations.
    """
    tide_cell(model)
    keeper = _Keeper()
    with evaluating(model):
        start = model.begin(images)
        model.run_ticks(start, keeper, ticks or model.config.core.ticks)
    return Trajectory([cast(TideState, start), *keeper.states[:-1]], keeper.features)


def tide_cell(model: Thinker) -> TideCell:
    """Return the cell of a TIDE model; raises :class:`InputError` for one without the weights of two populations."""
    if not isinstance(model.cell, TideCell):
        raise InputError(
            f"this model's core is {model.config.core.kind}: it has no excitatory and inhibitory weights to analyse; "
            "give a run of a TIDE preset"
        )
    if isinstance(model.config.input, ScheduleConfig):
        raise InputError(
            "the model takes a schedule, an input that stays is wanted: the map from tick to tick changes with what is "
            "shown, and has no fixed points to look for"
        )
    return model.cell


@contextmanager
def all_lateral_iterations(cell: TideCell) -> Iterator[None]:
    """Let the lateral inhibition take all its iterations for the time of the block.

    Stopping early would depend on the size of a perturbation.
    """
    was_training = cell.lateral.training
    cell.lateral.train()
    try:
        yield
    finally:
        cell.lateral.train(was_training)


@torch.no_grad()
def raw_preactivation(cell: TideCell, state: TideState) -> Tensor:
    """Return h = W_eff r + U o + b of the tick that follows ``state``, before the norm, (B, D)."""
    weights = state.weights.dynamics
    drive = torch.addmm(weights.bias, cell.read(state).output, weights.input)
    return torch.addmm(drive, state.rates, weights.recurrent)

"""What a TIDE model does tick by tick on given images, in full."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tide.analysis.gauge import tide_cell
from tide.models.thinker import Thinker
from tide.models.tide import TideFeatures, TideState


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


@torch.no_grad()
def follow(model: Thinker, images: Tensor, ticks: int | None = None) -> Trajectory:
    """Let ``model`` think about ``images`` (B, channels, H, W) in eval mode and keep everything.

    Raises :class:`~tide.errors.InputError` for a model without excitatory and inhibitory populations.
    """
    cell = tide_cell(model)
    model.eval()
    state = cell.begin(model.backbone((images - model.mean) / model.std))
    states, kept = [], []
    for _ in range(ticks or model.config.core.ticks):
        states.append(state)
        state, features = cell.step(state)
        kept.append(features)
    return Trajectory(states, kept)

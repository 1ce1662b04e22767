"""What a guarantee does not cover, measured: lateral loop, neuron-level models, trajectories side by side."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tide.analysis.fixed_points import HeldCore
from tide.analysis.trajectory import tide_cell
from tide.core.guarantee import certified_rate
from tide.models.thinker import Thinker
from tide.models.tide import TideState


def lateral_bound(model: Thinker) -> float:
    """Return a Lipschitz constant of the lateral inhibition: Σ_k q^k, k = 0..K, q = γ‖W_out‖‖W_in‖.

    Each iteration subtracts at most q times what the one before gave, so L_{k+1} ≤ 1 + q L_k.
    """
    lateral = tide_cell(model).lateral
    norms = [float(torch.linalg.matrix_norm(w.detach().double(), ord=2)) for w in (lateral.w_in, lateral.w_out)]
    q = float(lateral.strength.detach().abs()) * norms[0] * norms[1]
    return sum(q**k for k in range(lateral.config.iterations + 1))


def correction_gains(model: Thinker, state: TideState) -> Tensor | None:
    """Return Σ_m |∂c_i/∂H_im| of every neuron at one sample's state (1, ...), (D,); None without neuron-level models.

    How much a neuron's correction moves at most, to first order, when every entry of its history moves by one.
    """
    models = tide_cell(model).neuron_models
    if models is None:
        return None
    history = state.history.detach().clone().requires_grad_(True)
    correction = models(history, models.compose())
    slopes = torch.autograd.grad(correction.sum(), history)[0]
    return slopes.abs().sum(2)[:, 0].detach()


@dataclass(frozen=True)
class Meeting:
    """Two trajectories with the same held input, started apart.

    ``distances`` (ticks + 1,): norm of the difference of their rates; ``factor``: the geometric mean by which it
    changes per tick until it reaches rounding; ``worst``: the greatest factor of a single tick in the norm that the
    guarantee certifies, None without one; ``certified``: the factor that is certified.
    """

    distances: Tensor
    factor: float
    worst: float | None
    certified: float | None


@torch.no_grad()
def meeting(model: Thinker, state: TideState, first: Tensor, second: Tensor, ticks: int = 300) -> Meeting:
    """Let one sample's core run from two starts (D,) with its attention held as in ``state``; ``model`` in float64."""
    cell, held = tide_cell(model), HeldCore(model, state)
    apart = held.differences(first, second, ticks)
    distances = apart.norm(dim=1)
    alive = int((distances > 1e-12 * distances[0]).sum())  # below it there is rounding only
    factor = float((distances[alive - 1] / distances[0]) ** (1 / max(1, alive - 1)))
    rate = certified_rate(cell.blocks(), cell.config)
    worst = None
    if rate is not None:
        norms = held.certified_norms(apart[:alive])
        worst = float((norms[1:] / norms[:-1]).max()) if alive > 1 else 0.0
    return Meeting(distances, factor, worst, rate)

"""Fixed points of the core with the input held, and whether its trajectories get there.

The input is held by holding the output of the attention. At a fixed point the history of the neuron-level models holds
one and the same entry M times, so the search is over D rates; that the whole tick stays where it is is then checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import scipy.optimize
import torch
from torch import Tensor

from tide.analysis.jacobian import Tick, batched_jacobian
from tide.analysis.trajectory import all_lateral_iterations, tide_cell
from tide.core.guarantee import certified_norm
from tide.models.cell import CellState
from tide.models.thinker import Thinker
from tide.models.tide import TideFeatures, TideState

FOUND = 1e-8  # greatest change of a rate over one tick at what counts as a fixed point
RELAXATION = 50  # ticks before the search
SAME = 1e-4  # rates closer than this everywhere are one fixed point


@dataclass(frozen=True)
class FixedPoint:
    """Rates (D,) that a tick leaves as they are, up to ``residual`` (greatest change); ``starts`` that led there.

    ``radius``: spectral radius of the tick's Jacobian there, history included. ``eigenvalues`` (k,) complex.
    """

    rates: Tensor
    residual: float
    starts: int
    radius: float
    eigenvalues: Tensor

    @property
    def attracts(self) -> bool:
        """Whether nearby states come closer in the end (spectral radius below 1)."""
        return self.radius < 1


@dataclass(frozen=True)
class Approach:
    """A trajectory with the input held: distance (ticks,) to ``target``, its last step's size and rate of approach.

    ``rate`` is the geometric mean factor per tick by which the distance shrinks over the second half of what lies above
    rounding; None where it does not come near. ``last_change`` is the greatest change of a rate in the last tick.
    """

    distances: Tensor
    last_change: float
    rate: float | None


class HeldCore:
    """The core of a model with one sample's attention held at a state."""

    def __init__(self, model: Thinker, state: TideState) -> None:
        """``model`` in float64; ``state`` of one sample."""
        self.model, self._state = model, state
        self._cell = tide_cell(model)
        self.neurons = state.rates.shape[1]

    def settled(self, rates: Tensor) -> TideState:
        """Return the states in which ``rates`` (B, D) have lasted for M ticks: the history holds what they give."""
        state = self._state.repeated(len(rates))._replace(rates=rates)
        _, features = self._step(state)
        post = torch.cat((features.inhibited, features.rates[:, features.n_e :]), 1)
        return state._replace(history=post.t()[:, :, None].expand_as(state.history))

    def _step(self, state: TideState) -> tuple[TideState, TideFeatures]:
        with all_lateral_iterations(self._cell):
            return self._cell.step(state)

    def stationary_map(self, rates: Tensor) -> Tensor:
        """Return the rates (B, D) that a tick hands on from :meth:`settled`; its fixed points are those of the tick."""
        after, _ = self._step(self.settled(rates))
        return after.rates

    def residual(self, rates: Tensor) -> float:
        """Return the greatest change of a rate (D,) over one tick from :meth:`settled`."""
        with torch.no_grad():
            return float((self.stationary_map(rates[None])[0] - rates).abs().max())

    def find(self, starts: Sequence[Tensor]) -> list[FixedPoint]:
        """Search from every start (D,) by Powell's hybrid method with exact Jacobians; return what was found."""
        found: list[tuple[Tensor, float, int]] = []
        for start in starts:
            rates = torch.from_numpy(np.asarray(self._solve(start))).to(start)
            residual = self.residual(rates)
            if not (residual <= FOUND and float(rates.min()) >= -FOUND):  # NaN, where the search diverged, included
                continue
            match = next(
                (k for k, (other, _, _) in enumerate(found) if float((other - rates).abs().max()) < SAME), None
            )
            if match is None:
                found.append((rates, residual, 1))
            else:
                other, smaller, count = found[match]
                found[match] = (other, min(smaller, residual), count + 1)
        return [self._describe(*entry) for entry in found]

    def _solve(self, start: Tensor) -> npt.NDArray[np.float64]:
        def function(x: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
            rates = torch.from_numpy(x).to(start)
            with torch.no_grad():
                value = self.stationary_map(rates[None])[0] - rates
            slope = batched_jacobian(self.stationary_map, rates)
            return value.numpy(), (slope - torch.eye(self.neurons, dtype=slope.dtype)).numpy()

        # A few ticks of relaxation first: the search starts in the region where the rates live.
        rates = start[None]
        with torch.no_grad():
            for _ in range(RELAXATION):
                rates = self.stationary_map(rates)
        done = scipy.optimize.root(function, rates[0].numpy(), jac=True, method="hybr", options={"xtol": 1e-13})
        return np.asarray(done.x)

    def _describe(self, rates: Tensor, residual: float, starts: int) -> FixedPoint:
        with torch.no_grad():
            state = self.settled(rates[None])
        values = Tick(self.model, state, "core").eigenvalues()
        return FixedPoint(rates, residual, starts, float(values.abs().max()), values)

    @torch.no_grad()
    def approach(self, start: Tensor, target: Tensor, ticks: int = 1000) -> Approach:
        """Let the core run from :meth:`settled` at ``start`` (D,) and follow its distance to ``target`` (D,)."""
        path = self.path(start[None], ticks)[:, 0]
        distances = [float((rates - target).norm()) for rates in path[1:]]
        change = float((path[-1] - path[-2]).abs().max())
        return Approach(torch.tensor(distances, dtype=torch.float64), change, rate_of_approach(distances))

    @torch.no_grad()
    def differences(self, first: Tensor, second: Tensor, ticks: int) -> Tensor:
        """Return the difference of the rates of two runs of the core from starts (D,), (ticks + 1, D)."""
        one, other = self.path(torch.stack((first, second)), ticks).unbind(1)
        return one - other

    @torch.no_grad()
    def path(self, starts: Tensor, ticks: int) -> Tensor:
        """Return the rates at the start and after every tick from :meth:`settled` at ``starts`` (B, D).

        Shape (ticks + 1, B, D).
        """
        state = self.settled(starts)
        holder = _Holder(state)
        with all_lateral_iterations(self._cell):
            self.model.run_ticks(state, holder, ticks)
        return torch.stack([starts, *holder.rates])

    def certified_norms(self, differences: Tensor) -> Tensor:
        """Return :func:`tide.core.guarantee.certified_norm` of differences (..., D)."""
        return certified_norm(differences, self._cell.blocks(), self._cell.config)


class _Holder:
    """Holds the attention of every tick at that of one state, and keeps the rates."""

    def __init__(self, state: TideState) -> None:
        self._held = state
        self.rates: list[Tensor] = []

    def observe(self, state: CellState, features: Any) -> CellState:
        held, here = self._held, cast(TideState, state)
        self.rates.append(here.rates)
        return here._replace(latent=held.latent, synchrony=held.synchrony)


def rate_of_approach(distances: Sequence[float]) -> float | None:
    """Return the mean factor per tick over the later half of the distances that lie well above rounding."""
    start = distances[0]
    above = [value for value in distances if value > 1e-9 * max(1.0, start)]
    if not above or min(distances) > 1e-3 * start:
        return None
    end = next((k for k, value in enumerate(distances) if value <= 1e-9 * max(1.0, start)), len(distances)) - 1
    middle = end // 2
    if end - middle < 5:
        return None
    return float((distances[end] / distances[middle]) ** (1 / (end - middle)))

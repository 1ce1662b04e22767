"""Fixed points of the core with the input held, and whether its trajectories get there.

The input is held by holding the output of the attention. At a fixed point the history of the neuron-level models holds
one and the same entry M times, so the search is over D rates; that the whole tick stays where it is is then checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.optimize
import torch
from torch import Tensor

from tide.analysis.jacobian import Tick, batched_jacobian
from tide.analysis.states import all_lateral_iterations, exact_cell, tide_cell
from tide.models.thinker import Thinker
from tide.models.ticks import AnyMoment, TideMoment
from tide.models.tide import TideFeatures, TideState

MAX_RESIDUAL = 1e-8  # greatest change of a rate over one tick at what counts as a fixed point
RELAXATION = 50  # ticks before the search
SAME_POINT = 1e-4  # rates closer than this everywhere are one fixed point


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

    def __init__(self, model: Thinker, moment: TideMoment) -> None:
        """``model`` in float64, else :class:`InputError`; ``moment`` of one sample."""
        self.model, self._moment = model, moment
        self._cell = exact_cell(model)
        self.neurons = moment.state.rates.shape[1]

    def settled(self, rates: Tensor) -> TideMoment:
        """Return the states in which ``rates`` (B, D) have lasted for M ticks: the history holds what they give."""
        moment = self._moment.expand(len(rates)).changed(rates=rates)
        _, features = self._step(moment)
        post = torch.cat((features.inhibited, features.rates[:, features.n_e :]), 1)
        return moment.changed(history=post.t()[:, :, None].expand_as(moment.state.history))

    def _step(self, moment: TideMoment) -> tuple[TideState, TideFeatures]:
        with all_lateral_iterations(self._cell):
            return self._cell.step(*moment)

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
        points: list[tuple[Tensor, float, int]] = []
        for start in starts:
            rates = torch.from_numpy(np.asarray(self._solve(start))).to(start)
            residual = self.residual(rates)
            # Written so that NaN, where the search diverged, is left out too.
            if not (residual <= MAX_RESIDUAL and float(rates.min()) >= -MAX_RESIDUAL):
                continue
            match = next(
                (k for k, (other, _, _) in enumerate(points) if float((other - rates).abs().max()) < SAME_POINT), None
            )
            if match is None:
                points.append((rates, residual, 1))
            else:
                other, smaller, count = points[match]
                points[match] = (other, min(smaller, residual), count + 1)
        return [self._describe(*entry) for entry in points]

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
            moment = self.settled(rates[None])
        values = Tick(self.model, moment, "core").eigenvalues()
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
        moment = self.settled(starts)
        holder = _Holder(moment)
        with all_lateral_iterations(self._cell):
            self.model.run_ticks(moment, holder, ticks)
        return torch.stack([starts, *holder.rates])

    def certified_norms(self, differences: Tensor) -> Tensor:
        """Return :meth:`tide.nn.WilsonCowan.certified_norm` of differences (..., D)."""
        return self._cell.wilson_cowan.certified_norm(differences)


class _Holder:
    """Holds the attention of every tick at that of one state, and keeps the rates."""

    def __init__(self, moment: TideMoment) -> None:
        self._held = moment.state
        self.rates: list[Tensor] = []

    def observe(self, moment: AnyMoment, features: Any) -> AnyMoment:
        self.rates.append(moment.state.rates)
        return moment.changed(latent=self._held.latent, synchrony=self._held.synchrony)


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


def lateral_bound(model: Thinker) -> float:
    """Return a Lipschitz constant of the lateral inhibition: Σ_k q^k, k = 0..K, q = γ‖W_out‖‖W_in‖.

    Each iteration subtracts at most q times what the one before gave, so L_{k+1} ≤ 1 + q L_k.
    """
    lateral = tide_cell(model).lateral
    norms = [float(torch.linalg.matrix_norm(w.detach().double(), ord=2)) for w in (lateral.w_in, lateral.w_out)]
    q = float(lateral.strength.detach().abs()) * norms[0] * norms[1]
    return sum(q**k for k in range(lateral.iterations + 1))


def correction_gains(model: Thinker, state: TideMoment) -> Tensor | None:
    """Return Σ_m |∂c_i/∂H_im| of every neuron at one sample's state (1, ...), (D,); None without neuron-level models.

    How much a neuron's correction moves at most, to first order, when every entry of its history moves by one.
    """
    models = tide_cell(model).neuron_models
    if models is None:
        return None
    history = state.state.history.detach().clone().requires_grad_(True)
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
def meeting(model: Thinker, state: TideMoment, first: Tensor, second: Tensor, ticks: int = 300) -> Meeting:
    """Let one sample's core run from two starts (D,) with its attention held as in ``state``; ``model`` in float64."""
    cell, held = tide_cell(model), HeldCore(model, state)
    apart = held.differences(first, second, ticks)
    distances = apart.norm(dim=1)
    alive = int((distances > 1e-12 * distances[0]).sum())  # below it there is rounding only
    factor = float((distances[alive - 1] / distances[0]) ** (1 / max(1, alive - 1)))
    rate = cell.certified_rate()
    worst = None
    if rate is not None:
        norms = held.certified_norms(apart[:alive])
        worst = float((norms[1:] / norms[:-1]).max()) if alive > 1 else 0.0
    return Meeting(distances, factor, worst, rate)

"""The Jacobian of one tick as implemented: activation, norm, lateral inhibition, neuron-level models and all.

Three views, from narrow to whole, of the tick as a function of the state before it:

``rates``: ∂(rates handed on)/∂(rates), with history and attention held, (D, D).
``core``: the same with the history of the neuron-level models, if there are any, as part of the state, D (1 + M).
``whole``: attention too follows the synchrony s = S/√N of the pairs, D (1 + M) + P.

The count N of the synchronisation is a clock, not a state. The sums S would always show an eigenvalue of one where a
pair does not decay; what is read is s. The lateral inhibition takes all its iterations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.sparse.linalg
import torch
from torch import Tensor
from torch.func import jvp

from tide.analysis.matrices import divisors, spectrum
from tide.analysis.states import all_lateral_iterations, exact_cell, raw_preactivation, tide_cell
from tide.models.thinker import Thinker
from tide.models.ticks import TideMoment
from tide.models.tide import TideCell
from tide.nn.dynamics import normalised

View = Literal["rates", "core", "whole"]
BASIS, TOLERANCE = 100, 1e-8  # of the Arnoldi iteration
DENSE = 600  # size up to which every eigenvalue is computed


def batched_jacobian(function: Callable[[Tensor], Tensor], point: Tensor, chunk: int = 256) -> Tensor:
    """Return the Jacobian (n, n) at ``point`` (n,) of a function that treats the rows of a batch (B, n) independently.

    Row i comes from copy i of the point, so that one backward pass gives as many rows as a chunk has.
    """
    rows = []
    for start in range(0, len(point), chunk):
        count = min(chunk, len(point) - start)
        copies = point.expand(count, -1).clone().requires_grad_(True)
        after = function(copies)
        picked = after[torch.arange(count), torch.arange(start, start + count)].sum()
        rows.append(torch.autograd.grad(picked, copies)[0])
    return torch.cat(rows)


class Tick:
    """One tick of a TIDE model as a function of vectors, around one sample's state.

    Works in the precision of the model; convert it to float64 first (``model.double()``).
    """

    def __init__(self, model: Thinker, moment: TideMoment, view: View = "core") -> None:
        """``moment`` holds one sample, (1, ...)."""
        self._cell: TideCell = tide_cell(model)
        self._moment, self.view = moment, view
        state = moment.state
        self._sizes = [state.rates.numel()]
        self._remembers = view != "rates" and self._cell.neuron_models is not None  # else the history never moves
        if view != "rates":
            self._sizes.append(state.history.numel() if self._remembers else 0)
        if view == "whole":
            self._sizes.append(state.synchrony.products.shape[1])
        self.size = sum(self._sizes)

    @property
    def vector(self) -> Tensor:
        """The state as a vector (size,)."""
        state = self._moment.state
        history = state.history if self._remembers else state.history[:0]
        parts = [state.rates, history, self._cell.synchronisation.value(state.synchrony)]
        return torch.cat([part.reshape(-1) for part in parts[: len(self._sizes)]]).detach()

    def moment(self, vectors: Tensor) -> TideMoment:
        """Return the states of a batch of vectors (B, size); what is held is the sample's own."""
        here = self._moment.expand(len(vectors))
        parts = torch.split(vectors, self._sizes, dim=1)
        moment = here.changed(rates=parts[0])
        if self._remembers:
            neurons, _, length = here.state.history.shape
            moment = moment.changed(history=parts[1].reshape(-1, neurons, length).transpose(0, 1))
        if self.view == "whole":
            sums = here.state.synchrony
            sums = sums.replace(products=parts[2] * sums.normalizer.sqrt())
            moment = moment.changed(synchrony=sums, latent=self._cell.synchronisation.read(sums)[1])
        return moment

    def __call__(self, vectors: Tensor) -> Tensor:
        """Return the vectors after one tick, (B, size)."""
        with all_lateral_iterations(self._cell):
            after, _ = self._cell.step(*self.moment(vectors))
        parts = [after.rates]
        if self._remembers:
            parts.append(after.history.transpose(0, 1).flatten(1))
        if self.view == "whole":
            parts.append(self._cell.synchronisation.value(after.synchrony))
        return torch.cat(parts, 1)

    def jacobian(self) -> Tensor:
        """Return ∂(after)/∂(before), (size, size)."""
        return batched_jacobian(self, self.vector)

    def product(self, direction: Tensor) -> Tensor:
        """Return the Jacobian times a direction (size,), by forward differentiation."""
        tangent: Tensor = jvp(lambda vector: self(vector[None])[0], (self.vector,), (direction,))[1]
        return tangent.detach()

    def eigenvalues(self, leading: int = 12) -> Tensor:
        """Return the eigenvalues, complex128: all of a small Jacobian, else the ``leading`` greatest (Arnoldi)."""
        if self.size <= DENSE:
            return spectrum(self.jacobian())

        def apply(direction: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            product = self.product(torch.from_numpy(direction.reshape(-1)).to(self.vector))
            return np.asarray(product.double().numpy())

        operator = scipy.sparse.linalg.LinearOperator((self.size, self.size), matvec=apply, dtype=np.float64)
        start = np.random.default_rng(0).standard_normal(self.size)
        values = scipy.sparse.linalg.eigs(
            operator,
            k=leading,
            which="LM",
            v0=start,
            # Many basis vectors: eigenvalues crowd just inside the unit circle.
            ncv=min(self.size - 1, max(BASIS, 4 * leading)),
            tol=TOLERANCE,
            return_eigenvectors=False,
        )
        return torch.from_numpy(np.asarray(values))

    def spectral_radius(self) -> float:
        """Return the greatest |λ|."""
        return float(self.eigenvalues().abs().max())


# The Dale audit: whether influences have the sign that Dale's principle promises, and which component breaks it.
#
# ∂r_i/∂r_j (i ≠ j) should be non-negative for an excitatory neuron j and non-positive for an inhibitory one. The
# weights have these signs; the norm's divisive coupling, the lateral inhibition and the signed corrections of the
# neuron-level models need not keep them.


STAGES = ("weights", "norm", "lateral inhibition", "neuron-level models")


@dataclass(frozen=True)
class DaleAudit:
    """Share in [0, 1] of the influences, off the diagonal, that have the promised sign (zero counts as right).

    After each stage of a tick, ``weights`` being the step with the norm's divisor held: ``excitatory`` of ∂r_E/∂r_E,
    ``inhibitory`` of ∂r/∂r_I. ``broken_by``: the first stage that takes the sign from some, None where all keep it.
    """

    excitatory: dict[str, float]
    inhibitory: dict[str, float]

    @property
    def broken_by(self) -> str | None:
        """The first stage after which some influence has the wrong sign."""
        return next((stage for stage in STAGES if min(self.excitatory[stage], self.inhibitory[stage]) < 1), None)


def dale_audit(model: Thinker, state: TideMoment) -> DaleAudit:
    """Audit one tick from one sample's ``state`` (1, ...); ``model`` in float64, else :class:`InputError`."""
    cell = exact_cell(model)
    n_e = cell.config.n_e
    jacobians = {"weights": _weights_only(model, state)}
    outputs: dict[str, Callable[[Tensor], Tensor]] = {
        "norm": lambda rates: _tick(model, state, rates)[0],
        "lateral inhibition": lambda rates: _tick(model, state, rates)[1],
        "neuron-level models": lambda rates: _tick(model, state, rates)[2],
    }
    with all_lateral_iterations(cell):
        for stage, output in outputs.items():
            jacobians[stage] = batched_jacobian(output, state.state.rates[0].detach())
    off = ~torch.eye(len(jacobians["weights"]), dtype=torch.bool)
    excitatory, inhibitory = {}, {}
    for stage, jacobian in jacobians.items():
        within = off[:n_e, :n_e]
        excitatory[stage] = float((jacobian[:n_e, :n_e][within] >= 0).double().mean())
        inhibitory[stage] = float((jacobian[:, n_e:][off[:, n_e:]] <= 0).double().mean())
    return DaleAudit(excitatory, inhibitory)


def _tick(model: Thinker, state: TideMoment, rates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the rates (B, D) after the step, after lateral inhibition, and after the corrections."""
    _, features = tide_cell(model).step(*state.expand(len(rates)).changed(rates=rates))
    inhibited = torch.cat((features.inhibited, features.rates[:, features.n_e :]), 1)
    return features.rates, inhibited, features.corrected


@torch.no_grad()
def _weights_only(model: Thinker, state: TideMoment) -> Tensor:
    """∂r/∂r of the step with the norm's divisor and mean held: (1 − α) I + diag(α φ′ g / s) W_eff."""
    cell, weights = tide_cell(model), state.context.weights.dynamics
    h = raw_preactivation(cell, state)
    divisor = divisors(cell, h)
    normed = normalised(h, weights, cell.config.n_e, cell.config.norm)
    slope = (normed > 0).to(h) if cell.config.activation == "relu" else torch.sigmoid(normed)
    factor = weights.alpha * (slope * weights.gain / divisor)[0]
    jacobian: Tensor = torch.diag(1 - weights.alpha) + factor[:, None] * weights.recurrent.T
    return jacobian

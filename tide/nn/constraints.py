"""Dale's principle and every other bound on a parameter; guarantees of stability (equations §3, §7).

A module states the intervals of its own parameters in ``bounds()``; :func:`project_` moves every parameter of a model
into its interval. Training calls it once after each accepted optimiser step and nothing else does: inside the
recurrence a projection would cut the gradient.

The guarantees are projections of the four recurrent matrices after which the core is certainly stable (derived in
``docs/stability.md``).

``contraction`` (small gain): with K the 2 x 2 matrix of the spectral norms of the four blocks, ρ(K) ≤ κ < 1. Then, with
norm ``rms_cap`` and any activation of slope in [0, 1], the Euler step contracts for every α in (0, 1] and every held
input, in the norm that the Perron vector of I − Λ + ΛK weighs, by its Perron eigenvalue per tick.

``lds``: with P = diag(1, …, c, …), constant on each population, and M = I + Λ(W_eff − I), ‖P^½ M P^−½‖₂ ≤ β < 1. Then
MᵀPM ≺ P, so the linear map contracts, and PΛ proves Lyapunov diagonal stability of −I + W_eff. Here inhibition helps:
W_EI and W_IE enter with opposite signs and cancel where c balances them.

Both move the weights by the least change to first order (along the singular vectors that are too great), back to where
no entry is negative, a few times; what is left is removed by scaling, which always ends inside. A matrix that already
satisfies its condition is left as it is, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from tide.nn.weights import refresh, write_back_
from tide.types import Guarantee

NON_NEGATIVE = (0.0, inf)

MARGIN = 0.05  # κ = 1 − MARGIN
LDS_MARGIN = 0.1  # β = 1 − LDS_MARGIN · min(α); with no weights at all the norm is 1 − min(α)
ROUNDS = 4  # first-order corrections before the scaling
SLACK = 1e-6  # of the scaling, more than float32 rounds


class Bounded(nn.Module):
    """A module some of whose parameters live in an interval."""

    def bounds(self) -> dict[str, tuple[float, float]]:
        """Return the interval of each bounded parameter by its attribute name."""
        raise NotImplementedError

    def restrain_(self) -> None:
        """Bring the parameters, in place, to where what several of them must satisfy together holds; most need not."""


def _bounded(model: nn.Module) -> Iterator[tuple[str, Bounded, str, tuple[float, float]]]:
    for prefix, module in model.named_modules():
        if isinstance(module, Bounded):
            for name, interval in module.bounds().items():
                yield f"{prefix}.{name}".lstrip("."), module, name, interval


def bounded_parameters(model: nn.Module) -> Iterator[tuple[str, Tensor, tuple[float, float]]]:
    """Yield (name, parameter, (lowest, highest)) for every bounded parameter of a model."""
    for path, module, name, interval in _bounded(model):
        yield path, getattr(module, name), interval


@torch.no_grad()
def project_(model: nn.Module) -> None:
    """Project every bounded parameter onto its interval, in place; then what a guarantee asks for (``restrain_``).

    Clamping is the Euclidean projection onto the box: idempotent and non-expansive in Frobenius norm
    (paper, Proposition A.2).
    """
    refresh(model)
    members: dict[tuple[float, float], list[Tensor]] = {}
    computed: list[tuple[Bounded, str, Tensor]] = []
    for _, owner, name, interval in _bounded(model):
        parameter = getattr(owner, name)
        members.setdefault(interval, []).append(parameter)
        if name not in owner._parameters:
            computed.append((owner, name, parameter))
    for (lowest, highest), parameters in members.items():
        torch._foreach_clamp_min_(parameters, lowest)
        torch._foreach_clamp_max_(parameters, highest)
    for module in model.modules():
        if isinstance(module, Bounded):
            module.restrain_()
    for owner, name, value in computed:
        write_back_(owner, name, value)


@torch.no_grad()
def violations(model: nn.Module) -> list[str]:
    """Return the names of the bounded parameters with an entry outside its interval (NaN counts as outside)."""
    return [
        name
        for name, parameter, (lowest, highest) in bounded_parameters(model)
        if not bool(((parameter >= lowest) & (parameter <= highest)).all())
    ]


class RecurrentBlocks(NamedTuple):
    """The four non-negative matrices W_EE, W_EI, W_IE, W_II; first letter = target population."""

    ee: Tensor
    ei: Tensor
    ie: Tensor
    ii: Tensor

    def effective(self) -> Tensor:
        """Return the signed W_eff = [[W_EE, −W_EI], [W_IE, −W_II]] (D, D); row = target neuron, column = source."""
        return torch.cat((torch.cat((self.ee, -self.ei), 1), torch.cat((self.ie, -self.ii), 1)), 0)


class Populations(Protocol):
    """Sizes, time constants in ms and shares Δt/τ of two populations: a :class:`~tide.nn.WilsonCowan` has them."""

    n_e: int
    n_i: int
    tau_e: float
    tau_i: float
    alpha_e: float
    alpha_i: float


def small_gain_matrix(blocks: RecurrentBlocks) -> Tensor:
    """Return K = [[‖W_EE‖, ‖W_EI‖], [‖W_IE‖, ‖W_II‖]], exact spectral norms, (2, 2) float64."""
    norms = [torch.linalg.matrix_norm(block.detach().double(), ord=2) for block in blocks]
    return torch.stack(norms).reshape(2, 2)


def small_gain_rate(blocks: RecurrentBlocks, populations: Populations) -> float:
    """Return ρ(I − Λ + ΛK): the factor per tick by which differences of rates shrink at least, where below 1."""
    return float(_perron(_small_gain_step(blocks, populations))[0])


def balance_ratio(populations: Populations) -> float:
    """Return c = p_I/p_E, at which the two cross terms are equal for the weights' means at the start."""
    return (populations.tau_i / populations.tau_e) * (populations.n_e / populations.n_i)


def lds_rate(blocks: RecurrentBlocks, populations: Populations) -> float:
    """Return ‖P^½ M P^−½‖₂: the factor per tick of the linear map in the norm of P."""
    return float(torch.linalg.matrix_norm(_scaled_map(blocks, populations), ord=2))


def certified_rate(blocks: RecurrentBlocks, populations: Populations, guarantee: Guarantee) -> float | None:
    """Return the factor per tick that a guarantee certifies, None without one."""
    if guarantee == "none":
        return None
    return small_gain_rate(blocks, populations) if guarantee == "contraction" else lds_rate(blocks, populations)


@torch.no_grad()
def certified_norm(
    differences: Tensor, blocks: RecurrentBlocks, populations: Populations, guarantee: Guarantee
) -> Tensor:
    """Return the norm in which a guarantee certifies its rate, of differences of rates (..., D), as (...).

    ``contraction``: max_p ‖δ_p‖/v_p with v the Perron vector of I − Λ + ΛK; ``lds``: ‖P^½ δ‖.
    """
    if guarantee == "lds":
        scale, _ = _scaling(blocks, populations)
        weighted: Tensor = torch.linalg.vector_norm(differences.double() * scale, dim=-1)
        return weighted
    _, v, _ = _perron(_small_gain_step(blocks, populations))
    parts = differences.double()[..., : populations.n_e], differences.double()[..., populations.n_e :]
    return torch.stack([part.norm(dim=-1) / weight for part, weight in zip(parts, v, strict=True)]).amax(0)


@torch.no_grad()
def project_contraction_(blocks: RecurrentBlocks) -> None:
    """Move the blocks, in place, to where ρ(K) ≤ 1 − MARGIN."""
    bound = 1 - MARGIN
    for _ in range(ROUNDS):
        pairs = [_leading_pair(block) for block in blocks]
        k = torch.stack([sigma for sigma, _, _ in pairs]).reshape(2, 2).double().cpu()
        radius, right, left = _perron(k)
        if radius <= bound:
            break
        # dρ/dK_ij = x_i y_j / xᵀy with the left and right Perron vectors; dK_ij/dW = u vᵀ.
        slopes = (left[:, None] * right[None] / (left @ right)).flatten()
        step = (radius - bound) / slopes.square().sum()
        for block, (_, u, v), slope in zip(blocks, pairs, slopes, strict=True):
            block.addr_(u, v, alpha=-float(step * slope)).clamp_(min=0)
    radius = _perron(small_gain_matrix(blocks).cpu())[0]
    if radius > bound:
        for block in blocks:
            block.mul_(float(bound / radius) * (1 - SLACK))


@torch.no_grad()
def project_lds_(blocks: RecurrentBlocks, populations: Populations) -> None:
    """Move the blocks, in place, to where ‖P^½ M P^−½‖₂ ≤ 1 − LDS_MARGIN · min(α)."""
    min_alpha = min(populations.alpha_e, populations.alpha_i)
    bound = 1 - LDS_MARGIN * min_alpha
    scale, alpha, n_e = *_scaling(blocks, populations), populations.n_e
    norm = 0.0
    for number in range(ROUNDS + 1):
        mapped = _scaled_map(blocks, populations)
        values, vectors = torch.linalg.eigh(mapped.T @ mapped)
        sigma = values.clamp(min=0).sqrt()
        norm = float(sigma[-1])
        over = sigma > bound
        if norm <= bound or number == ROUNDS:
            break
        v = vectors[:, over]
        u = mapped @ v / sigma[over]
        # dσ/dW = (ΛS u)(S⁻¹ v)ᵀ, S = P^½.
        rows, columns = (alpha * scale)[:, None] * u, v / scale[:, None]
        steps = (sigma[over] - bound) / (rows.square().sum(0) * columns.square().sum(0))
        change = ((rows * steps) @ columns.T).to(blocks.ee)
        blocks.ee.sub_(change[:n_e, :n_e]).clamp_(min=0)
        blocks.ei.add_(change[:n_e, n_e:]).clamp_(min=0)
        blocks.ie.sub_(change[n_e:, :n_e]).clamp_(min=0)
        blocks.ii.add_(change[n_e:, n_e:]).clamp_(min=0)
    if norm > bound:
        # The norm is convex in the weights and 1 − min(α) without them.
        factor = (bound * (1 - SLACK) - (1 - min_alpha)) / (norm - (1 - min_alpha))
        for block in blocks:
            block.mul_(factor)


def _small_gain_step(blocks: RecurrentBlocks, populations: Populations) -> Tensor:
    """Return I − Λ + ΛK, (2, 2) float64."""
    alpha = torch.tensor([populations.alpha_e, populations.alpha_i], dtype=torch.float64)
    return torch.diag(1 - alpha) + alpha[:, None] * small_gain_matrix(blocks).cpu()


def _scaling(blocks: RecurrentBlocks, populations: Populations) -> tuple[Tensor, Tensor]:
    """Return the diagonals of P^½ and Λ, (D,) float64."""
    e, i = (blocks.ee.new_ones(n, dtype=torch.float64) for n in (populations.n_e, populations.n_i))
    scale = torch.cat((e, balance_ratio(populations) ** 0.5 * i))
    return scale, torch.cat((populations.alpha_e * e, populations.alpha_i * i))


def _scaled_map(blocks: RecurrentBlocks, populations: Populations) -> Tensor:
    """Return P^½ M P^−½, (D, D) float64."""
    scale, alpha = _scaling(blocks, populations)
    w = blocks.effective().detach().double()
    return torch.diag(1 - alpha) + (alpha * scale)[:, None] * w / scale


def _leading_pair(block: Tensor, iterations: int = 20) -> tuple[Tensor, Tensor, Tensor]:
    """Return a lower bound of a non-negative matrix's spectral norm, and singular vectors, by power iteration."""
    v = block.new_ones(block.shape[1]) / block.shape[1] ** 0.5
    u = block @ v
    for _ in range(iterations):
        v = torch.nn.functional.normalize(block.T @ u, dim=0)
        u = block @ v
    sigma = u.norm()
    return sigma, u / sigma.clamp(min=1e-30), v


def _perron(k: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the Perron eigenvalue of a non-negative (2, 2) matrix and its right and left Perron vectors."""
    (a, b), (c, d) = k
    root = ((a - d).square() + 4 * b * c).sqrt()
    value = 0.5 * (a + d + root)
    # (b, λ − a) and (λ − d, c) are both right eigenvectors; their sum is not zero unless K is a multiple of I.
    right = torch.stack((b + value - d, value - a + c))
    left = torch.stack((c + value - d, value - a + b))
    ones = torch.ones_like(right)
    return value, right if bool(right.sum() > 0) else ones, left if bool(left.sum() > 0) else ones

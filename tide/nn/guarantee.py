"""Projections after which the recurrent core is certainly stable (equations §7; derived in ``docs/stability.md``)."""

from __future__ import annotations

import torch
from torch import Tensor

from tide.config import CoreConfig
from tide.nn.constraints import RecurrentBlocks

MARGIN = 0.05  # κ = 1 − MARGIN
LDS_MARGIN = 0.1  # β = 1 − LDS_MARGIN · min(α); with no weights at all the norm is 1 − min(α)
ROUNDS = 4  # first-order corrections before the scaling
SLACK = 1e-6  # of the scaling, more than float32 rounds


def coverage(core: CoreConfig) -> str | None:
    """Return in one sentence what the core's guarantee covers as it is configured, None without one."""
    if core.guarantee == "none":
        return None
    if core.guarantee == "lds":
        return (
            "guarantee lds: the linear Euler map contracts and the weights are Lyapunov diagonally stable; activation "
            "and norm inside the Euler map are not covered"
        )
    if core.neuron_models.feedback:
        return (
            "guarantee contraction: covers the core without the feedback of the neuron-level models, which this run "
            "has; --core.neuron-models.no-feedback makes it cover what runs"
        )
    return "guarantee contraction: the core contracts for every input of the attention"


def small_gain_matrix(blocks: RecurrentBlocks) -> Tensor:
    """Return K = [[‖W_EE‖, ‖W_EI‖], [‖W_IE‖, ‖W_II‖]], exact spectral norms, (2, 2) float64."""
    norms = [torch.linalg.matrix_norm(block.detach().double(), ord=2) for block in blocks]
    return torch.stack(norms).reshape(2, 2)


def small_gain_rate(blocks: RecurrentBlocks, core: CoreConfig) -> float:
    """Return ρ(I − Λ + ΛK): the factor per tick by which differences of rates shrink at least, where below 1."""
    return float(_perron(_small_gain_step(blocks, core))[0])


def balance_ratio(core: CoreConfig) -> float:
    """Return c = p_I/p_E, at which the two cross terms are equal for the weights' means at the start."""
    return (core.tau_i / core.tau_e) * (core.n_e / core.n_i)


def lds_rate(blocks: RecurrentBlocks, core: CoreConfig) -> float:
    """Return ‖P^½ M P^−½‖₂: the factor per tick of the linear map in the norm of P."""
    return float(torch.linalg.matrix_norm(_scaled_map(blocks, core), ord=2))


def certified_rate(blocks: RecurrentBlocks, core: CoreConfig) -> float | None:
    """Return the factor per tick that the core's guarantee certifies, None without one."""
    if core.guarantee == "none":
        return None
    return small_gain_rate(blocks, core) if core.guarantee == "contraction" else lds_rate(blocks, core)


@torch.no_grad()
def certified_norm(differences: Tensor, blocks: RecurrentBlocks, core: CoreConfig) -> Tensor:
    """Return the norm in which the core's guarantee certifies its rate, of differences of rates (..., D), as (...).

    ``contraction``: max_p ‖δ_p‖/v_p with v the Perron vector of I − Λ + ΛK; ``lds``: ‖P^½ δ‖.
    """
    if core.guarantee == "lds":
        scale, _ = _scaling(blocks, core)
        weighted: Tensor = torch.linalg.vector_norm(differences.double() * scale, dim=-1)
        return weighted
    _, v, _ = _perron(_small_gain_step(blocks, core))
    parts = differences.double()[..., : core.n_e], differences.double()[..., core.n_e :]
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
def project_lds_(blocks: RecurrentBlocks, core: CoreConfig) -> None:
    """Move the blocks, in place, to where ‖P^½ M P^−½‖₂ ≤ 1 − LDS_MARGIN · min(α)."""
    least = min(core.alpha_e, core.alpha_i)
    bound = 1 - LDS_MARGIN * least
    scale, alpha, n_e = *_scaling(blocks, core), core.n_e
    norm = 0.0
    for number in range(ROUNDS + 1):
        mapped = _scaled_map(blocks, core)
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
        factor = (bound * (1 - SLACK) - (1 - least)) / (norm - (1 - least))
        for block in blocks:
            block.mul_(factor)


def _small_gain_step(blocks: RecurrentBlocks, core: CoreConfig) -> Tensor:
    """Return I − Λ + ΛK, (2, 2) float64."""
    alpha = torch.tensor([core.alpha_e, core.alpha_i], dtype=torch.float64)
    return torch.diag(1 - alpha) + alpha[:, None] * small_gain_matrix(blocks).cpu()


def _scaling(blocks: RecurrentBlocks, core: CoreConfig) -> tuple[Tensor, Tensor]:
    """Return the diagonals of P^½ and Λ, (D,) float64."""
    e, i = (blocks.ee.new_ones(n, dtype=torch.float64) for n in (core.n_e, core.n_i))
    scale = torch.cat((e, balance_ratio(core) ** 0.5 * i))
    return scale, torch.cat((core.alpha_e * e, core.alpha_i * i))


def _scaled_map(blocks: RecurrentBlocks, core: CoreConfig) -> Tensor:
    """Return P^½ M P^−½, (D, D) float64."""
    scale, alpha = _scaling(blocks, core)
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

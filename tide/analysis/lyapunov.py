"""Lyapunov diagonal stability (LDS), decided with certificates that anyone can check (equations §7).

A = −I + W is LDS when a positive diagonal P makes PA + AᵀP negative definite. Then the linear dynamics and those with
any activation of slope in [0, 1] converge in continuous time, whatever the time constants. The Euler map
M = I + diag(α)(W − I) has a certificate of its own, MᵀPM ≺ P.

Both are linear in p, so max over p of the margin is convex: smoothed λ_max is minimised by L-BFGS over the simplex.
The smoothed eigenprojector X at which it stops is the dual: X ⪰ 0, X ≠ 0 with (AX)_ii ≥ 0 for all i proves that no P
exists (Barker, Berman and Plemmons, 1978). So both answers carry a proof; what is neither is ``unknown``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.optimize
import scipy.sparse.csgraph
import scipy.sparse.linalg
import torch
from torch import Tensor

from tide.analysis.matrices import spectral_radius, square
from tide.errors import InputError

Answer = Literal["proved", "refuted", "unknown"]
Array = npt.NDArray[np.float64]
DENSE = 512  # neurons up to which every eigenvalue is computed; above, the greatest few by Lanczos iteration
LEADING = 24  # eigenpairs kept above that size
RESTARTS = 30  # of the Lanczos iteration, at most
SHARPNESS = (10.0, 100.0, 1000.0, 10_000.0)  # of the smoothed maximum, one search after the other
EVALUATIONS = 200  # of each search, at most
WORK = 6.5e6  # evaluations times n²: a few seconds on one core at n = 512
EPSILON = torch.finfo(torch.float64).eps


@dataclass(frozen=True)
class Certificate:
    """An answer and what proves it.

    ``proved``: ``p`` (n,), positive, greatest entry 1, and ``margin`` = −λ_max of the matrix inequality > 0.
    ``refuted``: ``witness`` (n, k), whose X = witness · witnessᵀ has trace 1, and ``margin`` = min_i of the dual
    condition ≥ 0. ``unknown``: neither; ``margin`` is then the best −λ_max that was found (0 or below). ``reason`` in
    words.
    """

    answer: Answer
    margin: float
    reason: str
    p: Tensor | None = None
    witness: Tensor | None = None


class _Inequality(NamedTuple):
    """G(p) = Σ p_i G_i ≺ 0: the matrix for p, and ⟨G_i, X⟩ for all i given X = V diag(w) Vᵀ as (V, w)."""

    matrix: Callable[[Tensor], Tensor]
    adjoint: Callable[[Tensor, Tensor], Tensor]


def certify(w_eff: Tensor) -> Certificate:
    """Decide whether −I + W_eff is Lyapunov diagonally stable (continuous time).

    ``w_eff`` is the signed effective matrix (n, n), row = target neuron. Raises
    :class:`~tide.errors.InputError` unless it is square and finite. Up to 512 neurons every eigenvalue is computed
    (seconds); above, the search uses Lanczos iteration, and the proof a Cholesky factorisation.
    """
    w = square(w_eff, "W_eff")
    a = w - torch.eye(len(w), dtype=w.dtype)
    settled = _spectral_witness(w, a) or _part_not_proved(w, lambda part: certify(w[part][:, part]))
    return settled or _search(_continuous(a), len(w), _comparison_start(w))


def certify_step(w_eff: Tensor, alpha: Tensor) -> Certificate:
    """Decide whether a diagonal P > 0 gives MᵀPM ≺ P for the Euler map M = I + diag(α)(W_eff − I).

    ``alpha`` (n,) holds the Euler coefficients Δt/τ, in (0, 1]. P·diag(α) then also proves LDS of −I + W_eff.
    """
    m = euler_map(w_eff, alpha)
    values, vectors = torch.linalg.eig(m)
    worst = int(values.abs().argmax())
    if values[worst].abs() >= 1:
        factor = _real_factor(vectors[:, worst])
        margin = float(_discrete(m).adjoint(factor, torch.ones(2, dtype=m.dtype)).min())
        if margin >= -_rounding(m):
            reason = f"the Euler map has spectral radius {float(values[worst].abs()):.4g}, at least 1"
            return Certificate("refuted", max(margin, 0.0), reason, witness=factor)
    w = square(w_eff)
    settled = _part_not_proved(w, lambda part: certify_step(w[part][:, part], alpha[part]))
    return settled or _search(_discrete(m), len(m), _comparison_start(m))


def euler_map(w_eff: Tensor, alpha: Tensor) -> Tensor:
    """Return M = I + diag(α)(W_eff − I), (n, n) float64: the linear Euler step, ``alpha`` (n,) in (0, 1]."""
    w = square(w_eff, "W_eff")
    alpha = alpha.detach().to(w)
    if alpha.shape != (len(w),) or not bool(((alpha > 0) & (alpha <= 1)).all()):
        raise InputError(f"alpha must be ({len(w)},) values in (0, 1], got shape {tuple(alpha.shape)}; it is dt / tau")
    identity = torch.eye(len(w), dtype=w.dtype)
    return identity + alpha[:, None] * (w - identity)


def verify(w_eff: Tensor, certificate: Certificate, alpha: Tensor | None = None) -> bool:
    """Check a certificate from nothing but the matrix: of LDS, or with ``alpha`` (n,) of the Euler map.

    An ``unknown`` one claims nothing and is never verified.
    """
    w = square(w_eff, "W_eff")
    a = w - torch.eye(len(w), dtype=w.dtype)
    inequality = _continuous(a) if alpha is None else _discrete(euler_map(w, alpha))
    if certificate.answer == "proved" and certificate.p is not None and len(certificate.p) == len(w):
        p = certificate.p.to(w)
        return bool((p > 0).all()) and _negative_definite(inequality.matrix(p), p)
    if certificate.answer == "refuted" and certificate.witness is not None and len(certificate.witness) == len(w):
        factor = certificate.witness.to(w)
        scale = float(factor.square().sum())
        dual = inequality.adjoint(factor, torch.ones(factor.shape[1], dtype=w.dtype))
        return scale > 0 and bool((dual >= -_rounding(w) * scale).all())
    return False


def cheap_test(w_eff: Tensor) -> float:
    """Return λ_max(½(W_eff + W_effᵀ)): below 1, P = I proves LDS (the paper's sufficient test)."""
    w = square(w_eff, "W_eff")
    return float(torch.linalg.eigvalsh(0.5 * (w + w.T))[-1])


def _continuous(a: Tensor) -> _Inequality:
    def matrix(p: Tensor) -> Tensor:
        scaled = p[:, None] * a
        return scaled + scaled.T

    def adjoint(vectors: Tensor, weights: Tensor) -> Tensor:
        return 2 * ((a @ vectors) * vectors) @ weights

    return _Inequality(matrix, adjoint)


def _discrete(m: Tensor) -> _Inequality:
    def matrix(p: Tensor) -> Tensor:
        return m.T @ (p[:, None] * m) - torch.diag(p)

    def adjoint(vectors: Tensor, weights: Tensor) -> Tensor:
        return ((m @ vectors).square() - vectors.square()) @ weights

    return _Inequality(matrix, adjoint)


def _rounding(matrix: Tensor) -> float:
    """What eigenvalues of such a matrix may be off by in float64."""
    return len(matrix) * EPSILON * max(1.0, float(matrix.abs().max()) * math.sqrt(len(matrix)))


def _negative_definite(matrix: Tensor, p: Tensor) -> bool:
    """Say whether G(p) is negative definite beyond rounding, by Cholesky factorisation.

    Scaled by P^(−½) from both sides: in a chain of neurons the entries of p lie orders of magnitude apart.
    """
    scale = p.rsqrt()
    matrix = scale[:, None] * matrix * scale
    shifted = -matrix - 4 * _rounding(matrix) * torch.eye(len(matrix), dtype=matrix.dtype)
    return int(torch.linalg.cholesky_ex(shifted).info) == 0


def _real_factor(vector: Tensor) -> Tensor:
    """Return V (n, 2) with V Vᵀ = Re(z z*) of trace 1, for a complex vector z (n,)."""
    factor = torch.view_as_real(vector.resolve_conj())
    scaled: Tensor = factor / factor.norm()
    return scaled


def _spectral_witness(w: Tensor, a: Tensor) -> Certificate | None:
    """Refute by an eigenvalue: of the excitatory block (a principal submatrix of an LDS matrix is LDS), or of A.

    An eigenvector z of a principal submatrix with eigenvalue λ, Re λ ≥ 0, gives X = Re(z z*), padded with zeros:
    (AX)_ii = Re λ |z_i|² inside and 0 outside.
    """
    excitatory = (w >= 0).all(0).nonzero().squeeze(1)
    blocks = [(excitatory, "W_EE")] if 0 < len(excitatory) < len(w) else []
    for index, name in (*blocks, (torch.arange(len(w)), "W_eff")):
        values, vectors = torch.linalg.eig(a[index][:, index])
        worst = int(values.real.argmax())
        real = float(values[worst].real)
        if real < 0:
            continue
        factor = torch.zeros(len(w), 2, dtype=w.dtype)
        factor[index] = _real_factor(vectors[:, worst])
        margin = float(_continuous(a).adjoint(factor, torch.ones(2, dtype=w.dtype)).min())
        if margin >= -_rounding(a):
            reason = f"an eigenvalue of {name} has real part {1 + real:.4g}, below 1 is necessary"
            return Certificate("refuted", max(margin, 0.0), reason, witness=factor)
    return None


def _part_not_proved(w: Tensor, decide: Callable[[Tensor], Certificate]) -> Certificate | None:
    """Answer by a strongly connected part of the network that is refuted or unknown, if there is one.

    A block triangular matrix is stable in this sense iff its blocks are. The search over the whole would not see a
    refuted block: there it may get no weight at all.
    """
    count, labels = scipy.sparse.csgraph.connected_components(w.numpy() != 0, connection="strong")
    unknown = None
    for part in [torch.from_numpy(labels == k).nonzero().squeeze(1) for k in range(count) if count > 1]:
        found = decide(part)
        if found.witness is not None:
            witness = w.new_zeros(len(w), found.witness.shape[1]).index_copy(0, part, found.witness)
            return replace(found, margin=0.0, witness=witness)
        unknown = found if found.answer == "unknown" else unknown
    return unknown


def _comparison_start(w: Tensor) -> Tensor | None:
    """Return p that proves LDS of −I + |W|, and |W|ᵀP|W| ≺ P, if its Perron eigenvalue is below 1: a start for W."""
    size = w.abs()
    if spectral_radius(size) >= 1:
        return None
    inverse: Tensor = torch.linalg.inv(torch.eye(len(w), dtype=w.dtype) - size)
    p = inverse.sum(0) / inverse.sum(1)
    return p if bool((p > 0).all()) else None  # rounding, where the eigenvalue is all but 1


def _leading(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues, ascending, and eigenvectors: all of them, or of a large matrix the greatest few."""
    if len(matrix) <= DENSE:
        values, vectors = torch.linalg.eigh(matrix)
        return values, vectors
    options = {"which": "LA", "tol": 1e-6, "v0": np.ones(len(matrix)), "maxiter": RESTARTS}
    try:
        found = scipy.sparse.linalg.eigsh(matrix.numpy(), k=LEADING, **options)
    except scipy.sparse.linalg.ArpackNoConvergence:  # the greatest crowd: all of them then, whatever it takes
        values, vectors = torch.linalg.eigh(matrix)
        return values, vectors
    return torch.from_numpy(found[0]), torch.from_numpy(found[1])


class _Found(Exception):
    """Ends a search at once."""

    def __init__(self, certificate: Certificate) -> None:
        super().__init__()
        self.certificate = certificate


class _Search:
    """The smoothed λ_max of G(p) over p > 0, Σp = n, as a function of q with p = n softmax(q)."""

    def __init__(self, inequality: _Inequality, n: int) -> None:
        self._inequality, self._n = inequality, n
        self.best = -float("inf")

    def __call__(self, q: Array, sharpness: float) -> tuple[float, Array]:
        """Return value and gradient; raises :class:`_Found` with the first proof of either kind."""
        p = self._n * torch.softmax(torch.from_numpy(q), 0)
        matrix = self._inequality.matrix(p)
        values, vectors = _leading(matrix)
        greatest, largest = float(values[-1]), float(p.max())
        self.best = max(self.best, -greatest / largest)
        if greatest < _rounding(matrix) and _negative_definite(matrix, p):
            margin = max(-greatest, EPSILON * float(p.min())) / largest  # where the eigenvalue is lost in rounding
            raise _Found(Certificate("proved", margin, "a positive diagonal P proves it", p=p / largest))
        # Sharper than the spread of the eigenvalues that matter, whatever the scale of the matrix.
        beta = sharpness / max(1.0, abs(greatest), 0.01 * float(values.abs().max()))
        weights = torch.exp(beta * (values - greatest))
        total = float(weights.sum())
        gradient = self._inequality.adjoint(vectors, weights / total)
        if float(gradient.min()) >= 0:
            raise _Found(self._refutation(vectors, weights))
        slope = p * (gradient - (gradient @ p) / self._n)
        return greatest + math.log(total) / beta, slope.numpy()

    def _refutation(self, vectors: Tensor, weights: Tensor) -> Certificate:
        factor = vectors * (weights / weights.sum()).sqrt()
        factor = factor[:, weights > 1e-14 * weights.max()]
        factor = factor / factor.norm()
        margin = float(self._inequality.adjoint(factor, torch.ones(factor.shape[1], dtype=factor.dtype)).min())
        reason = "a positive semidefinite X whose dual condition holds for every neuron excludes every diagonal P"
        return Certificate("refuted", margin, reason, witness=factor)


def _search(inequality: _Inequality, n: int, start: Tensor | None) -> Certificate:
    """Minimise λ_max of G(p), ever less smoothed; stop at the first proof of either kind."""
    search = _Search(inequality, n)
    q: Array = np.zeros(n) if start is None else start.log().numpy()
    evaluations = min(EVALUATIONS, max(1, round(WORK / n**2)))
    options = {"maxfun": evaluations, "maxiter": evaluations}
    try:
        for sharpness in SHARPNESS:
            done = scipy.optimize.minimize(search, q, args=(sharpness,), jac=True, method="L-BFGS-B", options=options)
            q = np.asarray(done.x)
    except _Found as found:
        return found.certificate
    return Certificate("unknown", min(search.best, 0.0), "neither a diagonal P nor a dual X was found: a marginal case")

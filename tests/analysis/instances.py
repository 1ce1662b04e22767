"""Random weight matrices by kind: dense random ones alone would hide every interesting case. Checks of certificates."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tide.analysis.lyapunov import Certificate, verify

KINDS = ("dense", "sparse", "block", "periodic", "nilpotent", "reducible", "nearly_singular")


def excitatory(n: int) -> int:
    """How many of n neurons are excitatory; at least one is inhibitory."""
    return max(1, min(n - 1, round(0.8 * n)))


def non_negative(kind: str, n: int, seed: int) -> torch.Tensor:
    """Weights (n, n) ≥ 0 in float64, n ≥ 2, with row sums of order one."""
    rng = np.random.default_rng(seed)
    uniform, order = rng.random((n, n)), rng.permutation(n)
    half = max(1, n // 2)
    if kind == "dense":
        w = uniform * rng.uniform(0.5, 4) / n
    elif kind == "sparse":
        w = uniform * (rng.random((n, n)) < 2 / n) * rng.uniform(0.5, 3)
    elif kind == "block":
        w = np.zeros((n, n))
        w[:half, :half], w[half:, half:] = uniform[:half, :half], uniform[half:, half:]
        w *= rng.uniform(0.5, 5) / n
    elif kind == "periodic":  # one cycle through all neurons
        w = np.zeros((n, n))
        w[order, np.roll(order, 1)] = rng.uniform(0.3, 1.7, n)
    elif kind == "nilpotent":
        w = np.triu(uniform, 1)[np.ix_(order, order)] * rng.uniform(0.5, 3)
    elif kind == "reducible":
        uniform[half:, :half] = 0
        w = uniform[np.ix_(order, order)] * rng.uniform(0.5, 5) / n
    else:  # I − W has an eigenvalue of 1e-6
        w = uniform / np.abs(np.linalg.eigvals(uniform)).max() * (1 - 1e-6)
    return torch.from_numpy(w)


def signed(kind: str, n: int, seed: int) -> torch.Tensor:
    """The same with the signs of Dale's principle: columns of inhibitory neurons are negative, of any strength."""
    w = non_negative(kind, n, seed)
    w[:, excitatory(n) :] *= -np.random.default_rng(seed + 1).choice([0.3, 1.0, 4.0])
    return w


def ei_matrix(n: int, seed: int, excite: float, inhibit: float) -> torch.Tensor:
    """A dense E-I matrix with mean row sums ``excite``/2 from E and −``inhibit``/2 from I."""
    w = np.random.default_rng(seed).random((n, n))
    n_e = excitatory(n)
    w[:, :n_e] *= excite / n_e
    w[:, n_e:] *= -inhibit / (n - n_e)
    return torch.from_numpy(w)


def matrix(rows: list[list[float]]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def steps(n: int) -> torch.Tensor:
    """α of Δt = 1 at τ = (5, 20)."""
    return torch.cat((torch.full((excitatory(n),), 0.2), torch.full((n - excitatory(n),), 0.05))).double()


def check_certificate(w: torch.Tensor, certificate: Certificate, alpha: torch.Tensor | None = None) -> None:
    """Check what a certificate claims with NumPy, from its definition."""
    a = w.numpy() - np.eye(len(w))
    m = np.eye(len(w)) + (0 if alpha is None else alpha.numpy()[:, None]) * a
    if certificate.answer == "proved":
        p = certificate.p.numpy()
        assert p.min() > 0
        assert p.max() == 1
        gap = p[:, None] * a + a.T * p if alpha is None else m.T @ np.diag(p) @ m - np.diag(p)
        assert certificate.margin == pytest.approx(-np.linalg.eigvalsh(gap)[-1], abs=1e-11)
        assert certificate.margin > 0
        # Entries of p may lie far apart: the sign is that of the congruent matrix, whose diagonal they leave alone.
        assert np.linalg.eigvalsh(gap / np.sqrt(np.outer(p, p)))[-1] < 0
    elif certificate.answer == "refuted":
        x = (certificate.witness @ certificate.witness.T).numpy()
        assert np.linalg.eigvalsh(x)[0] > -1e-15
        assert np.trace(x) == pytest.approx(1, rel=1e-12)
        dual = np.diag(a @ x) if alpha is None else np.diag(m @ x @ m.T - x)
        assert dual.min() >= -1e-13
        assert certificate.margin >= 0
    else:
        assert certificate.p is certificate.witness is None
        assert certificate.margin <= 0
    assert verify(w, certificate, alpha) == (certificate.answer != "unknown")

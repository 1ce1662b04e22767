"""Linear stability, each condition just inside and just outside its bound; Perron estimates (equations §4, §7)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.analysis.instances import KINDS, excitatory, matrix, non_negative, signed
from tide.analysis.matrices import isolated_excitatory, isolated_inhibitory, spectral_radius, spectrum, step_bound
from tide.errors import InputError
from tide.nn.dynamics import perron_estimate

INSTANCES = (st.sampled_from(KINDS), st.sampled_from((2, 3, 6, 11)), st.integers(0, 10**6))
ALPHAS = st.sampled_from((0.02, 0.05, 0.2, 0.7, 1.0))


def grows(m: np.ndarray) -> bool:
    """Run x ← M x for 2^40 ticks, by squaring, and say whether any start has grown at the end."""
    power, scale = m.copy(), 0.0  # Mᵏ = e^scale · power
    for _ in range(40):
        power, scale = power @ power, 2 * scale
        size = np.linalg.norm(power)
        if size == 0 or scale < -1e6:
            return False
        power, scale = power / size, scale + math.log(size)
    return scale > 0


def isolated_map(w: torch.Tensor, alpha: float) -> np.ndarray:
    return (1 - alpha) * np.eye(len(w)) + alpha * w.numpy()


# Populations alone


@settings(max_examples=60, deadline=None)
@given(*INSTANCES, ALPHAS)
def test_isolated_excitation_dies_out_just_below_a_perron_eigenvalue_of_one_and_grows_just_above(kind, n, seed, alpha):
    w = non_negative(kind, n, seed)
    perron = isolated_excitatory(w, alpha).perron
    if kind == "nilpotent":
        assert perron == 0
    assume(perron > 1e-3)
    for factor in (0.99, 1.01):
        scaled = w * (factor / perron)
        bound = isolated_excitatory(scaled, alpha)
        assert bound.value == bound.perron == pytest.approx(factor, rel=1e-8)
        assert (bound.bound, bound.paper_bound) == (1.0, None)
        assert bound.stable == (bound.radius < 1) == (factor < 1)
        assert grows(isolated_map(scaled, alpha)) == (factor > 1)


@settings(max_examples=60, deadline=None)
@given(*INSTANCES, ALPHAS)
def test_isolated_inhibition_dies_out_just_inside_its_bound_and_grows_just_outside(kind, n, seed, alpha):
    w = non_negative(kind, n, seed)
    assume(spectral_radius(w) > 1e-3)
    low, high = 0.0, 1e4 / spectral_radius(w)
    assert not isolated_inhibitory(high * w, alpha).stable
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if isolated_inhibitory(middle * w, alpha).stable else (low, middle)
    for factor in (0.99, 1.01):
        scaled = w * (factor * low)
        bound = isolated_inhibitory(scaled, alpha)
        assert bound.stable == (bound.radius < 1) == (factor < 1)
        assert grows(isolated_map(-scaled, alpha)) == (factor > 1)
        # The paper's bound is necessary: whatever is stable obeys it.
        assert bound.paper_bound == pytest.approx(2 / alpha - 1)
        assert bound.perron < bound.paper_bound or not bound.stable


def test_the_papers_bound_on_inhibition_passes_an_unstable_population():
    w = matrix([[0, 2], [2, 0]])
    bound = isolated_inhibitory(w, 0.05)
    assert bound.perron == pytest.approx(2)
    assert bound.paper_bound == pytest.approx(39)
    assert not bound.stable
    assert bound.value == math.inf  # Re λ = −2: no step is small enough
    assert bound.radius == pytest.approx(1.05)
    assert grows(isolated_map(-w, 0.05))


@pytest.mark.parametrize("bound", [isolated_excitatory, isolated_inhibitory])
def test_a_negative_weight_is_refused_in_one_line_that_names_its_matrix(bound):
    name = "W_EE" if bound is isolated_excitatory else "W_II"
    with pytest.raises(InputError, match=rf"{name} must have no entry below 0, got -0.5; .*Dale") as caught:
        bound(matrix([[0, 1], [-0.5, 0]]), 0.2)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=f"{name} must be finite, got NaN"):
        bound(matrix([[0, torch.nan], [0, 0]]), 0.2)


# The coupled system


@settings(max_examples=60, deadline=None)
@given(*INSTANCES)
def test_the_step_bound_is_where_the_coupled_euler_map_begins_to_grow(kind, n, seed):
    tau = torch.where(torch.arange(n) < excitatory(n), 5.0, 20.0).double()
    jacobian = (signed(kind, n, seed) - torch.eye(n)) / tau[:, None]
    bound = step_bound(jacobian)
    hurwitz = np.linalg.eigvals(jacobian.numpy()).real.max() < 0
    assert (bound > 0) == hurwitz
    if not hurwitz:
        assert grows(np.eye(n) + 1e-3 * jacobian.numpy())
        return
    for factor in (0.01, 0.99, 1.01):
        assert grows(np.eye(n) + factor * bound * jacobian.numpy()) == (factor > 1)


def test_step_bounds_of_a_leak_and_of_a_rotation_are_those_known():
    assert step_bound(matrix([[-0.25]])) == pytest.approx(8)
    # λ = −1 ± iw: Δt < 2/(1 + w²), whatever its real part alone would allow.
    assert step_bound(matrix([[-1, -3], [3, -1]])) == pytest.approx(0.2)
    assert step_bound(matrix([[0, -3], [3, 0]])) == 0
    assert step_bound(matrix([[0.1]])) == 0
    assert step_bound(matrix([[0, 0], [0, -1]])) == 0


# Spectra


def rayleigh_quotient(m: np.ndarray, start: np.ndarray, iterations: int) -> float:
    """What power iteration reads."""
    for _ in range(iterations):
        start = m @ start / np.linalg.norm(m @ start)
    return float(start @ m @ start)


@pytest.mark.parametrize("angle", [math.pi / 2, math.pi / 3, 1.5, 3.0])
def test_a_rotation_that_grows_is_read_as_unstable_where_a_rayleigh_quotient_reads_it_as_stable(angle):
    m = 1.2 * matrix([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    assert spectral_radius(m) == pytest.approx(1.2, rel=1e-14)
    assert spectrum(m).imag.abs().max() == pytest.approx(1.2 * math.sin(angle))
    assert grows(m.numpy())
    reading = rayleigh_quotient(m.numpy(), np.array([1.0, 0.3]), 200)
    assert reading == pytest.approx(1.2 * math.cos(angle), abs=1e-12)
    assert reading < 1


@settings(max_examples=60, deadline=None)
@given(st.sampled_from((2, 3, 6, 11)), st.integers(0, 10**6))
def test_perron_estimates_of_primitive_matrices_approach_the_exact_eigenvalue_at_the_rate_of_the_spectral_gap(n, seed):
    w = non_negative("dense", n, seed) + 0.01
    sizes = spectrum(w).abs().sort(descending=True).values
    exact, gap = float(sizes[0]), float(sizes[1] / sizes[0])
    errors = [abs(float(perron_estimate(w, j)) - exact) / exact for j in range(0, 60, 4)]
    condition = float(torch.linalg.cond(torch.linalg.eig(w).eigenvectors)) * n
    for j, error in zip(range(0, 60, 4), errors, strict=True):
        assert error <= condition * gap**j + 1e-12
        # Every iterate is positive, so ratios of sums stay between the least and the greatest column sum.
        assert float(w.sum(0).min()) - 1e-12 <= float(perron_estimate(w, j)) <= float(w.sum(0).max()) + 1e-12
    assert errors[-1] < 1e-9 or gap > 0.6
    assert exact <= float(torch.linalg.matrix_norm(w, 2)) * (1 + 1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_the_estimate_reaches_the_spectral_norm_for_normal_matrices_and_stays_below_it_for_others(seed):
    w = non_negative("dense", 6, seed) + 0.01
    first = w[0].clone()
    circulant = torch.stack([first.roll(k) for k in range(6)])  # normal, not symmetric
    for normal in (w + w.T, circulant):
        assert perron_estimate(normal, 300).item() == pytest.approx(
            torch.linalg.matrix_norm(normal, 2).item(), rel=1e-12
        )
    skewed = w.clone()
    skewed[0] *= 5
    assert perron_estimate(skewed, 300) < 0.99 * torch.linalg.matrix_norm(skewed, 2)
    # Equality holds for some matrices that are not normal: normality is sufficient only.
    padded = torch.block_diag(matrix([[2.0]]), matrix([[0, 1], [0, 0]]))
    assert perron_estimate(padded, 300).item() == pytest.approx(torch.linalg.matrix_norm(padded, 2).item())

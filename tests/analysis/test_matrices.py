"""Linear stability of the populations against their maps, and the scale gauge (equations §7)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.analysis.instances import KINDS, excitatory, matrix, non_negative, signed
from tide.analysis.lyapunov import certify
from tide.analysis.matrices import (
    isolated_excitatory,
    isolated_inhibitory,
    normalised_matrices,
    spectral_radius,
    spectrum,
    step_bound,
)
from tide.analysis.states import follow, tide_cell
from tide.errors import InputError
from tide.models.thinker import Thinker
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


TICKS = (0, 1, 3)
RECORDED = ("rates_e", "rates_i", "corrected_e", "corrected_i", "latent")


def images(batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, 1, 9, 9, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


@torch.no_grad()
def rescaled_(model: Thinker, factor: float, population: str = "ei") -> Thinker:
    """Multiply all that drives a population: recurrent rows, input rows, bias."""
    core, n_e = model.cell.wilson_cowan, model.config.core.n_e
    rows_of = {"e": ((core.w_ee, core.w_ei), slice(n_e)), "i": ((core.w_ie, core.w_ii), slice(n_e, None))}
    for name, (matrices, rows) in rows_of.items():
        if name in population:
            for w in matrices:
                w *= factor
            core.input.weight[rows] *= factor
            core.input.bias[rows] *= factor
    return model


def same(a: torch.Tensor, b: torch.Tensor, tolerance: float) -> bool:
    return torch.allclose(a, b, rtol=tolerance, atol=tolerance)


def matrices_met(model: Thinker) -> torch.Tensor:
    met = follow(model, images()).states
    return normalised_matrices(model, [met[tick] for tick in TICKS])


@torch.no_grad()
def thoughts(model: Thinker) -> torch.Tensor:
    trace = model.eval()(images(), record=RECORDED).trace
    return torch.cat([trace[name] for name in RECORDED], 2)


@pytest.mark.parametrize("population", ["e", "i", "ei"])
@pytest.mark.parametrize("factor", [15.0, 0.1])
def test_under_rms_a_rescaled_population_thinks_the_same_and_only_raw_spectra_change(tiny_model, factor, population):
    plain, scaled = tiny_model().eval(), rescaled_(tiny_model().eval(), factor, population)
    torch.testing.assert_close(thoughts(scaled), thoughts(plain), rtol=1e-9, atol=1e-9)
    before, after = (matrices_met(m) for m in (plain, scaled))
    assert before.shape == (2, 3, 20, 20)
    torch.testing.assert_close(after, before, rtol=1e-8, atol=1e-8)
    raw, changed = plain.cell.blocks(), scaled.cell.blocks()
    for name, block in (("e", "ee"), ("i", "ii")):
        ratio = spectral_radius(getattr(changed, block)) / spectral_radius(getattr(raw, block))
        assert ratio == pytest.approx(factor if name in population else 1.0, rel=1e-12)


def test_raw_weights_are_proved_or_refuted_by_the_gauge_alone_and_normalised_ones_by_the_function(tiny_model):
    model = tiny_model().eval()
    rescaled_(model, 0.5 / spectral_radius(model.cell.blocks().effective().abs()))
    raw, function = [], []
    for factor in (1.0, 15.0, 0.01):  # one after the other
        rescaled_(model, factor)
        raw.append(certify(model.cell.blocks().effective()).answer)
        function.append([certify(w).answer for w in matrices_met(model).flatten(0, 1)])
    assert raw == ["proved", "refuted", "proved"]
    assert function[0] == function[1] == function[2]
    assert set(function[0]) <= {"proved", "refuted"}


@pytest.mark.parametrize("factor", [15.0, 0.1])
def test_rms_cap_has_no_such_gauge(tiny_model, factor):
    plain = rescaled_(tiny_model(norm="rms_cap").eval(), 0.5)
    scaled = rescaled_(rescaled_(tiny_model(norm="rms_cap").eval(), 0.5), factor)
    assert not same(thoughts(scaled), thoughts(plain), 1e-2)
    before, after = (matrices_met(m) for m in (plain, scaled))
    assert not same(after, before, 1e-2)


@pytest.mark.parametrize("norm", ["rms", "rms_cap", "rms_shared", "none"])
def test_normalised_rows_give_the_preactivation_after_the_norm(tiny_model, norm):
    model = tiny_model(norm=norm).eval()
    cell, n_e = model.cell, model.config.core.n_e
    matrices, w = matrices_met(model), cell.blocks().effective().detach()
    divisors = set()
    met = follow(model, images()).states
    for place, tick in enumerate(TICKS):
        state = met[tick]
        with torch.no_grad():
            _, features = cell.step(*state)
        for b in range(2):
            found = matrices[b, place]
            row = (found.abs().sum(1) / w.abs().sum(1))[:, None]
            torch.testing.assert_close(found, row * w, rtol=1e-12, atol=0)
            expected = found @ state.state.rates[b] + row[:, 0] * features.drive[b]
            torch.testing.assert_close(features.preactivation[b], expected, rtol=1e-10, atol=1e-11)
            of_row = cell.wilson_cowan.gain.detach() / row[:, 0]
            divisors |= {round(float(value), 9) for value in of_row}
            assert norm == "rms_shared" or torch.allclose(of_row[:n_e], of_row[0])
    # One divisor per population, image and tick; under rms_cap none is below one.
    assert len(divisors) <= {"rms": 12, "rms_cap": 12, "rms_shared": 6, "none": 1}[norm]
    assert norm in ("rms", "rms_shared") or min(divisors) >= 1


def test_states_are_those_that_the_model_meets_before_each_tick(tiny_model):
    model = tiny_model().eval()
    model.train()
    met = follow(model, images()).states
    assert model.training
    model.eval()
    with torch.no_grad():
        trace = model(images(), record=("corrected_e", "corrected_i", "latent")).trace
    assert len(met) == model.config.core.ticks
    torch.testing.assert_close(met[0].state.rates, model.cell.wilson_cowan.start.detach().expand(2, -1))
    for tick in (1, 3):
        before = torch.cat((trace["corrected_e"][:, tick - 1], trace["corrected_i"][:, tick - 1]), 1)
        assert torch.equal(met[tick].state.rates, before)
        assert torch.equal(met[tick].state.latent, trace["latent"][:, tick - 1])


@pytest.mark.parametrize("kind", ["ctm", "lstm"])
def test_a_model_without_two_populations_gives_one_clear_line(tiny_model, kind):
    model = tiny_model(kind=kind)
    analyses = (tide_cell, lambda m: follow(m, images()), lambda m: normalised_matrices(m, []))
    for analyse in analyses:
        with pytest.raises(InputError, match=rf"core is {kind}: it has no excitatory and inhibitory weights") as caught:
            analyse(model)
        assert "\n" not in str(caught.value)

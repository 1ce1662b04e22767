"""The excitatory-inhibitory step and the estimate of its Perron eigenvalue."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from tests import slow
from tide.nn.dynamics import DynamicsWeights, WilsonCowan, ei_ratio, euler_step, perron_estimate, population_norm

N_E, N_I = 16, 4
BATCH = 3


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def populations(tiny_model, **core) -> WilsonCowan:
    return tiny_model(**core).cell.wilson_cowan


@pytest.mark.parametrize("activation", ["relu", "softplus"])
@pytest.mark.parametrize("norm", ["rms", "rms_cap", "layer", "rms_shared", "none"])
@pytest.mark.parametrize("inhibition", [True, False])
def test_step_equals_the_slow_form(tiny_model, activation, norm, inhibition):
    module = populations(tiny_model, activation=activation, norm=norm, inhibition=inhibition)
    if norm == "layer":
        torch.nn.init.normal_(module.offset, generator=torch.Generator().manual_seed(2))
    p = {name: value.numpy() for name, value in module.state_dict().items()}
    rates, attended = normal(0, BATCH, N_E + N_I).abs(), normal(1, BATCH, 6)
    attended[0] *= 0.01  # a small rms too: the cap must not scale it up
    step = module(rates, attended, module.compose())
    for b in range(BATCH):
        drive = slow.linear(attended[b].numpy(), p["input.weight"], p["input.bias"])
        r = rates[b].numpy()
        expected = slow.wilson_cowan(r[:N_E], r[N_E:], drive, p, (0.2, 0.05), activation, norm)
        found = {
            "rates_e": step.rates[b, :N_E],
            "rates_i": step.rates[b, N_E:],
            "preactivation_e": step.preactivation[b, :N_E],
            "preactivation_i": step.preactivation[b, N_E:],
            "activation": step.activation[b],
        }
        for name, value in found.items():
            np.testing.assert_allclose(value.detach().numpy(), expected[name], rtol=1e-11, atol=1e-14, err_msg=name)
        np.testing.assert_allclose(step.drive[b].detach().numpy(), drive, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("normalization", ["sum", "per_neuron"])
def test_ei_ratio_equals_the_slow_form_and_stays_finite_without_inhibition(normalization):
    rates = normal(0, BATCH, N_E + N_I).abs()
    rates[0, N_E:] = 0
    found = ei_ratio(rates, N_E, normalization)
    for b in range(BATCH):
        expected = slow.ei_ratio(rates[b, :N_E].numpy(), rates[b, N_E:].numpy(), normalization)
        assert found[b].item() == pytest.approx(expected, rel=1e-14)
    equal = torch.full((N_E + N_I,), 0.7, dtype=torch.float64)
    assert ei_ratio(equal, N_E, normalization).item() == pytest.approx(4 if normalization == "sum" else 1, rel=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    scale=st.sampled_from([0.0, 1e-12, 1.0, 1e12]),
    alpha=st.sampled_from([0.05, 0.2, 0.5, 1.0]),
    activation=st.sampled_from(["relu", "softplus"]),
    norm=st.sampled_from(["rms", "rms_cap"]),
)
def test_rates_are_never_negative_whatever_the_input(seed, scale, alpha, activation, norm):
    generator = torch.Generator().manual_seed(seed)
    w, drive = scale * torch.randn(10, 10, generator=generator), scale * torch.randn(4, 10, generator=generator)
    rates = torch.rand(4, 10, generator=generator) * (torch.rand(4, 10, generator=generator) > 0.3)
    weights = DynamicsWeights(w, torch.empty(0), torch.empty(0), torch.rand(10), torch.full((10,), alpha))
    for _ in range(4):
        rates = euler_step(rates, drive, weights, 8, activation, norm).rates
        assert rates.isfinite().all()
        assert (rates >= 0).all()


@pytest.mark.parametrize("norm", ["rms", "rms_cap"])
def test_euler_converges_with_order_one_to_the_wilson_cowan_equations(tiny_model, norm):
    module = populations(tiny_model, activation="softplus", norm=norm)
    drive, start, duration = 0.3 * normal(5, 1, N_E + N_I), normal(6, 1, N_E + N_I).abs(), 8.0
    composed = module.compose()
    tau = 1 / composed.alpha  # at Δt = 1 ms
    p = {name: value.numpy() for name, value in module.state_dict().items()}

    def velocity(_, r):
        at_rest = slow.wilson_cowan(r[:N_E], r[N_E:], drive[0].numpy(), p, (1.0, 1.0), "softplus", norm)
        return (np.concatenate((at_rest["rates_e"], at_rest["rates_i"])) - r) / tau.numpy()

    with torch.no_grad():
        exact = solve_ivp(velocity, (0, duration), start[0].numpy(), rtol=1e-10, atol=1e-12).y[:, -1]
        errors = []
        for steps in (64, 128, 256):
            weights, rates = composed._replace(alpha=duration / steps / tau), start
            for _ in range(steps):
                rates = euler_step(rates, drive, weights, N_E, "softplus", norm).rates
            errors.append(np.abs(rates[0].numpy() - exact).max())
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert np.abs(orders - 1).max() < 0.1
    assert errors[-1] < 1e-2


@pytest.mark.parametrize("population", [slice(0, N_E), slice(N_E, N_E + N_I)], ids=["E", "I"])
@pytest.mark.parametrize("factor", [15.0, 0.1])
@pytest.mark.parametrize(("norm", "size"), [("rms", 1.0), ("rms_cap", 0.1)])
def test_scale_gauge_holds_for_rms_only(tiny_model, population, factor, norm, size):
    weights = populations(tiny_model, norm=norm).compose()
    # Where the cap binds, it divides like rms does: small currents keep the state under it.
    weights = weights._replace(input=size * weights.input, bias=size * weights.bias)
    attended, start = normal(0, BATCH, 6), size * normal(1, BATCH, N_E + N_I).abs()
    scale = torch.ones(N_E + N_I, dtype=torch.float64)
    scale[population] = factor
    scaled = weights._replace(
        recurrent=weights.recurrent * scale, input=weights.input * scale, bias=weights.bias * scale
    )
    answers = []
    for w in (weights, scaled):
        rates = start
        for _ in range(6):
            rates = euler_step(rates, torch.addmm(w.bias, attended, w.input), w, N_E, "relu", norm).rates
        answers.append(rates.detach())
    change = (answers[0] - answers[1]).abs().max()
    assert change < 1e-9 if norm == "rms" else change > 1e-2


@pytest.mark.parametrize(("norm", "gauge"), [("rms", True), ("rms_shared", True), ("none", False)])
def test_a_norm_over_both_populations_is_blind_to_their_common_scale_but_not_to_one_of_them(norm, gauge):
    h = normal(0, BATCH, N_E + N_I)
    one = torch.cat((h[:, :N_E] * 15, h[:, N_E:]), 1)
    whole, scaled, single = (population_norm(x, N_E, norm) for x in (h, 15 * h, one))
    assert torch.allclose(scaled, whole, rtol=1e-10, atol=0) == gauge
    # Per population the first keeps its size whatever its scale; over both it takes from the other.
    assert torch.allclose(single[:, N_E:], whole[:, N_E:], rtol=1e-10, atol=0) == (norm != "rms_shared")


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(0.01, 30), distance=st.floats(1e-3, 30))
def test_rms_cap_is_one_lipschitz_on_each_population(seed, scale, distance):
    generator = torch.Generator().manual_seed(seed)
    x = scale * torch.randn(1, N_E + N_I, generator=generator, dtype=torch.float64)
    y = x + distance * torch.randn(1, N_E + N_I, generator=generator, dtype=torch.float64)
    moved = population_norm(x, N_E, "rms_cap") - population_norm(y, N_E, "rms_cap")
    for part in (slice(0, N_E), slice(N_E, None)):
        assert moved[:, part].norm() <= (x - y)[:, part].norm() * (1 + 1e-12)


@pytest.mark.parametrize("inhibition", [True, False])
def test_effective_matrix_obeys_dale(tiny_model, inhibition):
    module = populations(tiny_model, inhibition=inhibition)
    w = module.blocks().effective().detach()
    assert (w[:, :N_E] >= 0).all()
    assert (w[:, N_E:] <= 0).all()
    assert bool((w[:N_E, N_E:] == 0).all()) != inhibition
    p = {name: value.numpy() for name, value in module.state_dict().items()}
    p.setdefault("w_ei", np.zeros((N_E, N_I)))
    np.testing.assert_array_equal(w.numpy(), slow.effective_matrix(p))


def test_initial_weights_fill_the_stated_intervals():
    torch.manual_seed(0)
    module = WilsonCowan(200, 6)
    for weights, width in ((module.w_ee, 1.6), (module.w_ei, 2.0), (module.w_ie, 2.0), (module.w_ii, 2.0)):
        scaled = weights.detach() * weights.shape[1] / width
        assert 0 <= scaled.min() < 0.02
        assert 0.98 < scaled.max() <= 1
    assert module.start.min() >= 0
    assert 0.75 < module.start.max() <= 0.8


@pytest.mark.parametrize("gain", [0.5, 1.0])
def test_balanced_start_inhibits_each_row_as_much_as_it_excites_it_at_strong_coupling(gain):
    torch.manual_seed(0)
    module = WilsonCowan(400, 6, start="balanced", start_gain=gain)
    w = module.blocks().effective().detach()
    torch.testing.assert_close(w.sum(1), torch.zeros(400), rtol=0, atol=1e-4)
    # Uniform entries on [0, 2/n] all but leave one direction, the mean: their stable rank is near 4/3.
    assert w.square().sum(1).mean().item() == pytest.approx(2 * gain**2, rel=0.05)
    weak, strong = WilsonCowan(400, 6).blocks().effective().detach(), w
    stable_ranks = [float(m.square().sum() / torch.linalg.matrix_norm(m, 2) ** 2) for m in (weak, strong)]
    assert stable_ranks[0] < 1.4 < 1.8 < stable_ranks[1]
    assert (module.w_ee >= 0).all()
    assert (module.w_ei >= 0).all()


def test_a_balanced_start_is_brought_to_where_the_guarantee_holds():
    torch.manual_seed(0)
    module = WilsonCowan(40, 6, start="balanced", norm="rms_cap", guarantee="contraction")
    assert module.certified_rate() < 1


def test_start_rates_fill_the_interval_of_their_population():
    torch.manual_seed(0)
    core = WilsonCowan(1000, 6, start_rates=(0.1, 0.4))
    start = core.start
    for part, highest in ((start[: core.n_e], 0.1), (start[core.n_e :], 0.4)):
        assert 0 <= part.min() < 0.05 * highest
        assert 0.95 * highest < part.max() <= highest
    torch.manual_seed(0)
    torch.testing.assert_close(WilsonCowan(1000, 6).start[: core.n_e], 8 * start[: core.n_e])


@pytest.mark.parametrize("norm", ["rms", "rms_cap", "layer", "rms_shared", "none"])
def test_gradcheck(tiny_model, norm):
    module = populations(tiny_model, activation="softplus", norm=norm)
    inputs = normal(0, 2, N_E + N_I).abs().requires_grad_(), normal(1, 2, 6).requires_grad_()
    inputs += tuple(module.parameters())
    assert torch.autograd.gradcheck(lambda r, o, *_: module(r, o, module.compose()).rates, inputs, fast_mode=True)


def positive(seed: int, size: int = 8) -> torch.Tensor:
    return torch.rand(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.01


@pytest.mark.parametrize("seed", range(4))
def test_converges_to_the_perron_eigenvalue_of_a_positive_matrix(seed):
    w = positive(seed)
    exact = torch.linalg.eigvals(w).abs().max()
    torch.testing.assert_close(perron_estimate(w, 60), exact, rtol=1e-13, atol=0)
    torch.testing.assert_close(perron_estimate(w, 20), exact, rtol=1e-6, atol=0)
    torch.testing.assert_close(perron_estimate(300 * w, 60), 300 * exact, rtol=1e-13, atol=0)


def test_is_a_ratio_of_sums_not_of_norms():
    w = torch.tensor([[1.0, 0.0], [3.0, 0.0]], dtype=torch.float64)
    # From uniform v: W v = (0.5, 1.5), sum 2; the ratio of Euclidean norms would be √5.
    assert perron_estimate(w, 0).item() == pytest.approx(2.0, rel=1e-15)


@pytest.mark.parametrize(
    "w",
    [
        torch.zeros(3, 3),
        torch.tensor([[0.0, 1.0, 2.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]]),
    ],
    ids=["zero", "nilpotent"],
)
def test_zero_and_nilpotent_matrices_give_zero_and_a_finite_gradient(w):
    w = w.clone().requires_grad_()
    value = perron_estimate(w)
    value.backward()
    assert value.item() == 0
    assert w.grad is not None
    assert w.grad.isfinite().all()


def test_zero_rows_do_no_harm():
    w = positive(0)
    w[2] = 0
    w[5] = 0
    exact = torch.linalg.eigvals(w).abs().max()
    torch.testing.assert_close(perron_estimate(w, 60), exact, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("iterations", "value"), [(20, 1.5), (21, 4 / 3)])
def test_periodic_matrix_alternates_about_its_perron_value(iterations, value):
    w = torch.tensor([[0.0, 2.0], [1.0, 0.0]], dtype=torch.float64)
    assert perron_estimate(w, iterations).item() == pytest.approx(value, rel=1e-14)


def test_may_exceed_the_spectral_norm_after_few_iterations_but_not_after_many():
    star = torch.tensor([[0.1, 1.0, 1.0], [1.0, 0.1, 0.0], [1.0, 0.0, 0.1]], dtype=torch.float64)
    norm = torch.linalg.matrix_norm(star, 2)
    assert norm < perron_estimate(star, 1) < 1.07 * norm
    torch.testing.assert_close(perron_estimate(star, 400), norm, rtol=1e-13, atol=0)


def test_gradcheck_of_the_estimate():
    assert torch.autograd.gradcheck(lambda w: perron_estimate(w, 20), positive(3, 5).requires_grad_())

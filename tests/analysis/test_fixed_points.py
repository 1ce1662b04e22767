"""Fixed points with the input held: found, told stable from unstable, and reached at the rate that was promised."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tide.analysis.fixed_points import HeldCore, rate_of_approach
from tide.analysis.jacobian import dale_audit
from tide.analysis.states import follow
from tide.errors import InputError
from tide.models.thinker import Thinker

BARE = {
    "activation": "softplus",
    "norm": "none",
    "lateral": {"iterations": 0},
    "neuron_models": {"enabled": False, "memory_length": 3},
}


def held(model: Thinker) -> HeldCore:
    """The core with its attention held as before the third tick of an image."""
    image = torch.rand(1, 1, 9, 9, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return HeldCore(model, follow(model, image).states[2])


@torch.no_grad()
def scaled_(model: Thinker, factor: float) -> Thinker:
    """Multiply all recurrent weights."""
    core = model.cell.wilson_cowan
    for w in (core.w_ee, core.w_ei, core.w_ie, core.w_ii):
        w *= factor
    return model


@torch.no_grad()
def silenced_(model: Thinker) -> Thinker:
    """Remove all recurrent weights and all input but the bias, to build a small network in its place."""
    core = scaled_(model, 0.0).cell.wilson_cowan
    core.input.weight.zero_()
    core.input.bias.zero_()
    core.gain.fill_(1.0)
    return model.eval()


def starts(count: int = 4) -> list[torch.Tensor]:
    """Silence, and rates of ever larger size."""
    generator = torch.Generator().manual_seed(7)
    return [k * torch.rand(20, generator=generator, dtype=torch.float64) for k in range(count)]


@pytest.mark.parametrize("core", [{"norm": "none"}, {"norm": "rms"}, {"norm": "rms_cap"}, BARE], ids=str)
def test_a_contracting_core_has_one_fixed_point_that_attracts_every_start_at_the_rate_of_its_radius(tiny_model, core):
    model = scaled_(tiny_model(**core), 0.3)
    if model.cell.neuron_models is not None:
        model.cell.neuron_models.second.data *= 0.3
    core = held(model.eval())
    (point,) = core.find(starts())
    assert point.starts == 4
    assert point.residual <= 1e-8
    assert core.residual(point.rates) == pytest.approx(point.residual, abs=1e-15)
    assert point.rates.min() >= -1e-8
    assert point.attracts
    assert point.radius == float(point.eigenvalues.abs().max())
    assert 0.9 < point.radius < 1
    for start in starts()[::3]:
        approach = core.approach(start, point.rates, ticks=600)
        assert approach.distances.shape == (600,)
        assert approach.distances[0] > 0.1
        assert approach.distances[-1] < 1e-9
        assert approach.last_change < 1e-10
        # To one percent: a start may hold little of the slowest direction.
        assert approach.rate == pytest.approx(point.radius, rel=0.01)


def test_a_fixed_point_is_one_of_the_whole_tick_history_included(tiny_model):
    model = scaled_(tiny_model(norm="none"), 0.3).eval()
    core = held(model)
    (point,) = core.find(starts(2))
    before = core.settled(point.rates[None])
    with torch.no_grad():
        after, features = model.cell.train().step(*before)
    before = before.state
    torch.testing.assert_close(after.rates[0], point.rates, rtol=0, atol=1e-9)
    torch.testing.assert_close(after.history, before.history, rtol=0, atol=1e-9)
    newest = torch.cat((features.inhibited, features.rates[:, 16:]), 1)[0]
    for entry in range(3):
        torch.testing.assert_close(before.history[:, 0, entry], newest, rtol=0, atol=1e-9)


def test_without_all_extras_the_fixed_point_solves_the_rate_equation(tiny_model):
    model = scaled_(tiny_model(**BARE), 0.5).eval()
    core = held(model)
    (point,) = core.find(starts())
    with torch.no_grad():
        drive = model.cell.step(*core.settled(point.rates[None]))[1].drive[0].numpy()
    gain, w = model.cell.wilson_cowan.gain.detach().numpy(), model.cell.blocks().effective().detach().numpy()
    rates = point.rates.numpy()
    np.testing.assert_allclose(rates, np.log1p(np.exp(gain * (w @ rates + drive))), rtol=1e-9)
    # The same found without a solver: damped iteration from silence.
    slow = np.zeros(20)
    for _ in range(3000):
        slow = 0.95 * slow + 0.05 * np.log1p(np.exp(gain * (w @ slow + drive)))
    np.testing.assert_allclose(rates, slow, rtol=1e-8)


@pytest.mark.parametrize(("strength", "radius"), [(2.0, 0.95), (4.0, 0.956), (5.0, 1.002), (10.0, 1.321)])
def test_a_loop_of_excitation_and_inhibition_loses_its_fixed_point_as_it_is_scaled_up(tiny_model, strength, radius):
    model = silenced_(tiny_model(**BARE))
    weights = model.cell.wilson_cowan
    with torch.no_grad():
        # The mean rates are a rotation of this strength, at rates of 5 and more, where softplus is all but linear:
        # the complex pair is that of [[0.8, −0.2 w], [0.05 w, 0.95]] with two slopes.
        weights.w_ei.fill_(strength / 4)
        weights.w_ie.fill_(strength / 16)
        weights.input.bias[:16] = 5 + 5 * strength**2
    core = held(model)
    (point,) = core.find(starts())
    assert point.starts == 4
    assert point.residual <= 1e-8
    slopes = [-math.expm1(-float(point.rates[k])) for k in (0, 19)]  # φ′ = 1 − e^−φ
    pair = math.sqrt(0.8 * 0.95 + 0.01 * slopes[0] * slopes[1] * strength**2)
    assert point.radius == pytest.approx(max(pair, 0.95), rel=1e-9)
    assert point.radius == pytest.approx(radius, abs=5e-3)
    assert point.attracts == (point.radius < 1)
    # All neurons moved alike: only the pair is met, so that the rate is its modulus.
    approach = core.approach(point.rates + 1e-2, point.rates, ticks=300)
    if point.attracts:
        assert approach.rate == pytest.approx(pair, rel=3e-3)
    elif strength == 10:
        assert approach.rate is None
        assert approach.distances[-1] > 10 * approach.distances[0]
        assert approach.last_change > 0.1


@pytest.mark.parametrize("core", [{"norm": "none"}, BARE], ids=["whole", "bare"])
def test_a_core_whose_rates_overflow_has_no_fixed_point_and_no_rate(tiny_model, core):
    model = scaled_(tiny_model(**core), 1e8).eval()
    assert held(model).find(starts(2)) == []
    assert held(model).approach(starts(2)[1], torch.zeros(20, dtype=torch.float64), ticks=50).rate is None


def test_two_fixed_points_are_told_apart_and_each_start_counts_for_the_one_it_led_to(tiny_model):
    model = silenced_(tiny_model(**BARE))
    core = model.cell.wilson_cowan
    with torch.no_grad():
        # Two excitatory groups, each of which silences the other through an inhibitory neuron of its own.
        for group, rows in enumerate((slice(0, 8), slice(8, 16))):
            core.w_ie[group, rows] = 1.0
            core.w_ei[rows, 1 - group] = 1.0
        core.input.bias[:16] = 1.0
        core.input.bias[16:] = -1.0
    first, second = torch.zeros(2, 20, dtype=torch.float64)
    first[:8], second[8:16] = 2.0, 2.0
    points = held(model).find([first, second, 2 * first])
    assert [point.starts for point in points] == [2, 1]
    assert all(point.attracts for point in points)
    a, b = (point.rates for point in points)
    assert a[:8].min() > 1 > 0.1 > a[8:16].max()
    torch.testing.assert_close(torch.cat((b[8:16], b[:8])), a[:16], rtol=1e-8, atol=1e-10)
    # Between them lies the one that no trajectory finds.
    (saddle,) = held(model).find([(a + b) / 2])
    torch.testing.assert_close(saddle.rates[:8], saddle.rates[8:16])
    assert not saddle.attracts


@pytest.mark.parametrize("rate", [0.3, 0.9, 0.99, 0.999])
def test_the_rate_of_a_geometric_sequence_is_its_factor_with_or_without_a_floor_of_rounding(rate):
    distances = [5 * rate**k for k in range(12_000)]
    assert rate_of_approach(distances) == pytest.approx(rate, rel=1e-9)
    assert rate_of_approach([max(d, 3e-13) for d in distances]) == pytest.approx(rate, rel=1e-9)


def test_the_rate_is_that_of_the_end_and_none_where_nothing_approaches():
    quick_then_slow = [0.5**k + 1e-3 * 0.97**k for k in range(500)]
    assert rate_of_approach(quick_then_slow) == pytest.approx(0.97, rel=1e-6)
    turning = [0.95**k * (2 + math.cos(0.7 * k)) for k in range(500)]
    assert rate_of_approach(turning) == pytest.approx(0.95, rel=0.01)
    for distances in (
        [1.0] * 300,
        [1.1**k for k in range(300)],
        [0.99**k for k in range(300)],
        [1.0, 1e-12],
        [0.0] * 9,
    ):
        assert rate_of_approach(distances) is None
    assert rate_of_approach([math.nan] * 20) is None


def test_another_precision_than_float64_is_refused_and_not_answered_by_no_point(tiny_model):
    """A residual of 1e-8 is below the rounding of float32: nothing would ever be found."""
    model, states = tiny_model().eval(), held(tiny_model().eval())._moment
    with pytest.raises(InputError, match=r"the model must be float64, got float32; model\.double\(\)"):
        HeldCore(model.float(), states)
    with pytest.raises(InputError, match="the model must be float64, got float32"):
        dale_audit(model, states)

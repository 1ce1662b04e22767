"""The scale gauge: what a rescaling of weights leaves as it is, and what it changes (equations §7)."""

from __future__ import annotations

import pytest
import torch

from tide.analysis.lyapunov import certify
from tide.analysis.matrices import normalised_matrices, spectral_radius
from tide.analysis.states import follow, tide_cell
from tide.errors import InputError
from tide.models.thinker import Thinker

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

"""The Jacobian of a tick: finite differences, autograd, Arnoldi, and a core simple enough to be done by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tide.analysis import jacobian
from tide.analysis.jacobian import Tick, batched_jacobian
from tide.analysis.states import follow
from tide.models.thinker import Thinker
from tide.models.ticks import TideMoment
from tide.models.tide import TideState

VIEWS = {"rates": 20, "core": 20 * (1 + 3), "whole": 20 * (1 + 3) + 21}


def met(model: Thinker, tick: int = 2) -> TideMoment:
    """Context and state of one sample before a tick: one that the model meets."""
    image = torch.rand(1, 1, 9, 9, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return follow(model, image).states[tick]


def flat(state: TideState, view: str) -> np.ndarray:
    """What a view covers, one entry after the other: rates, each neuron's history, synchrony S/√N."""
    parts = [state.rates[0]]
    if view != "rates":
        parts.extend(state.history[:, 0])
    if view == "whole":
        parts.append((state.synchrony.products / state.synchrony.normalizer.sqrt())[0])
    return torch.cat(parts).detach().numpy()


def moved(model: Thinker, moment: TideMoment, view: str, entry: int, by: float) -> TideMoment:
    """The same moment with one entry of a view moved, and what follows from it."""
    state = moment.state
    rates, history, products = state.rates.clone(), state.history.clone(), state.synchrony.products.clone()
    if entry < 20:
        rates[0, entry] += by
    elif entry < 80:
        history[(entry - 20) // 3, 0, (entry - 20) % 3] += by
    else:
        products[0, entry - 80] += by * state.synchrony.normalizer[0, entry - 80].sqrt()
    moment = moment.changed(rates=rates, history=history)
    if view == "whole":
        synchrony = state.synchrony.replace(products=products)
        moment = moment.changed(synchrony=synchrony, latent=model.cell.synchronisation.read(synchrony)[1])
    return moment


@torch.no_grad()
@pytest.mark.parametrize("norm", ["rms", "rms_cap"])
@pytest.mark.parametrize("view", VIEWS)
def test_every_view_equals_central_finite_differences_of_the_cells_own_step(tiny_model, view, norm):
    model = tiny_model(activation="softplus", norm=norm)
    state, step = met(model), 1e-6
    with torch.enable_grad():
        found = Tick(model, state, view).jacobian().numpy()
    model.train()  # all lateral iterations
    assert found.shape == (VIEWS[view],) * 2
    for entry in range(VIEWS[view]):
        ahead, behind = (flat(model.cell.step(*moved(model, state, view, entry, by))[0], view) for by in (step, -step))
        np.testing.assert_allclose(found[:, entry], (ahead - behind) / (2 * step), rtol=1e-6, atol=3e-9)


@pytest.mark.parametrize("chunk", [1, 7, 256])
@pytest.mark.parametrize("view", VIEWS)
def test_rows_of_any_chunk_are_those_of_autograd_and_products_are_those_of_the_matrix(tiny_model, view, chunk):
    tick = Tick(model := tiny_model(), met(model), view)
    vector = tick.vector
    expected = torch.autograd.functional.jacobian(lambda v: tick(v[None])[0], vector)
    torch.testing.assert_close(batched_jacobian(tick, vector, chunk), expected, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(tick.jacobian(), expected, rtol=1e-12, atol=1e-13)
    for seed in range(3):
        direction = torch.randn(tick.size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        torch.testing.assert_close(tick.product(direction), expected @ direction, rtol=1e-11, atol=1e-12)


def test_rates_are_a_block_of_core_and_core_is_one_of_whole_where_attention_hears_nothing_of_either(tiny_model):
    model = tiny_model()
    narrow, core, whole = (Tick(model, met(model), view).jacobian() for view in VIEWS)
    torch.testing.assert_close(core[:20, :20], narrow, rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(whole[:80, :80], core, rtol=1e-13, atol=1e-14)
    assert whole[:20, 80:].abs().max() > 1e-6  # attention closes the loop
    assert (core[:20, 20::3] == 0).all()  # the oldest entry of each history drops out before it is read
    shift = core[20:, 20:].reshape(20, 3, 20, 3)
    for neuron in range(20):
        assert torch.equal(shift[neuron, :2, neuron], torch.eye(3, dtype=torch.float64)[1:])


def test_a_bare_core_has_the_jacobian_written_down_by_hand(tiny_model):
    off = {"lateral": {"iterations": 0}, "neuron_models": {"enabled": False, "memory_length": 3}}
    model = tiny_model(activation="softplus", norm="none", **off)
    state = met(model)
    with torch.no_grad():
        h = model.cell.step(*state)[1].preactivation[0]
    gain, w = model.cell.wilson_cowan.gain.detach(), model.cell.blocks().effective().detach()
    alpha = torch.tensor([0.2] * 16 + [0.05] * 4, dtype=torch.float64)
    expected = torch.diag(1 - alpha) + (alpha * torch.sigmoid(h) * gain)[:, None] * w
    ticks = {view: Tick(model, state, view) for view in VIEWS}
    # Nothing remembers: a history that never moves would add eigenvalues of one, and no core would ever seem stable.
    assert [tick.size for tick in ticks.values()] == [20, 20, 41]
    for tick in ticks.values():
        assert tick.moment(tick.vector.expand(5, -1)).state.history.shape == (20, 5, 3)
        torch.testing.assert_close(tick.jacobian()[:20, :20], expected, rtol=1e-12, atol=1e-14)
        direction = torch.randn(tick.size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        torch.testing.assert_close(tick.product(direction), tick.jacobian() @ direction, rtol=1e-11, atol=1e-12)
    assert ticks["core"].spectral_radius() == pytest.approx(
        np.abs(np.linalg.eigvals(expected.numpy())).max(), rel=1e-12
    )


def test_all_lateral_iterations_are_taken_whatever_the_mode_and_the_mode_stays(tiny_model):
    hasty, patient = (tiny_model(lateral={"tolerance": tolerance}) for tolerance in (10.0, 0.0))
    for model in (hasty, patient):
        model.eval().cell.lateral.w_in.data *= 20
    state = met(patient)
    torch.testing.assert_close(Tick(hasty, state).jacobian(), Tick(patient, state).jacobian(), rtol=1e-13, atol=1e-15)
    with torch.no_grad():
        one, all_of_them = (model.cell.step(*state)[0].rates for model in (hasty, patient))
    assert not torch.allclose(one, all_of_them)
    for mode in (True, False):
        hasty.train(mode)
        Tick(hasty, state).product(Tick(hasty, state).vector)
        assert all(module.training == mode for module in hasty.modules())


@pytest.mark.parametrize("view", ["core", "whole"])
def test_arnoldi_finds_the_greatest_eigenvalues_of_the_dense_spectrum_as_complex_pairs(tiny_model, monkeypatch, view):
    model = tiny_model(norm="none")
    # Four inhibitory neurons in a ring, all active: 0.95 − 3 times the fourth roots of one lead, a pair among them.
    weights = model.cell.wilson_cowan
    with torch.no_grad():
        weights.w_ii.copy_(60 * torch.eye(4, dtype=torch.float64).roll(1, 0))
        weights.input.bias[16:] = 200
    tick = Tick(model, met(model, 0), view)
    dense = np.linalg.eigvals(tick.jacobian().numpy())
    dense = dense[np.argsort(-np.abs(dense))]
    np.testing.assert_allclose(np.sort_complex(tick.eigenvalues().numpy()), np.sort_complex(dense), atol=1e-9)
    assert np.abs(dense[:7].imag).max() > 1e-3
    assert dense[:7].real.min() < -1
    assert tick.spectral_radius() == pytest.approx(np.abs(dense[0]), rel=1e-10)
    for name, value in {"DENSE": 0, "BASIS": 30}.items():
        monkeypatch.setattr(jacobian, name, value)
    monkeypatch.setattr(Tick, "jacobian", lambda self: pytest.fail("no matrix is needed"))
    found = tick.eigenvalues(7).numpy()
    assert found.shape == (7,)
    assert found.dtype == np.complex128
    assert np.sort(np.abs(found))[::-1] == pytest.approx(np.abs(dense[:7]), rel=1e-7)
    for value in found:
        assert np.abs(dense[:8] - value).min() < 1e-7  # eight: the seventh may be half of a pair
    pairs = found[np.abs(found.imag) > 1e-9]
    assert len(pairs) >= 2
    assert sum(np.abs(pairs - value.conjugate()).min() > 1e-9 for value in pairs) <= 1

"""Three-type synchronisation (equations §2.7)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import slow
from tests.nn.parts import part
from tide.nn.synchrony import Synchrony, draw_pairs

SIZES = (9, 7, 5)


def run(module: Synchrony, rates: torch.Tensor):
    """Start from tick 0 of ``rates`` (ticks, B, D), advance over the others."""
    state, retention = module.initial(rates[0]), module.retention()
    for tick in rates[1:]:
        state = module(state, tick, retention)
    return state


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), ticks=st.integers(1, 12), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_recurrence_equals_the_defining_sum(tiny_config, seed, ticks, dtype):
    generator = torch.Generator().manual_seed(seed)
    module = part("synchronisation", tiny_config().core, seed=0).to(dtype)
    decay = 15 * torch.rand(21, generator=generator, dtype=torch.float64) ** 3
    decay[:2] = torch.tensor([0.0, 15.0])
    module.decay.data.copy_(decay)
    rates = torch.rand(ticks + 1, 1, 20, generator=generator, dtype=dtype)
    with torch.no_grad():
        state = run(module, rates)
        synchrony, _ = module.read(state)
    seen = rates[:, 0].double().numpy()
    exact = module.decay.detach().double().numpy()  # the decay as this dtype holds it
    tolerance = 1e-6 if dtype == torch.float32 else 1e-12
    for k, (i, j) in enumerate(zip(module.left.tolist(), module.right.tolist(), strict=True)):
        expected = slow.synchronisation(seen, i, j, float(exact[k]))
        assert synchrony[0, k].item() == pytest.approx(expected, rel=tolerance)
        count = sum(math.exp(-exact[k] * age) for age in range(ticks + 1))
        assert state.normalizer[0, k].item() == pytest.approx(count, rel=tolerance)


@pytest.mark.parametrize("epsilon", [1e-5, 1.0])
def test_latent_state_equals_the_slow_form(tiny_model, epsilon):
    module = tiny_model(synchrony={"norm_epsilon": epsilon}).cell.synchronisation
    rates = torch.rand(4, 3, 20, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    synchrony, latent = module.read(run(module, rates))
    p = {name: value.numpy() for name, value in module.state_dict().items()}
    for b in range(3):
        expected = slow.latent(synchrony[b].detach().numpy(), SIZES, p, epsilon)
        np.testing.assert_allclose(latent[b].detach().numpy(), expected, rtol=1e-11, atol=1e-12)


def test_decays_start_log_uniform_over_time_scales_and_leave_the_pairs_as_they_are(tiny_config):
    pairs = {"pairs_ee": 3000, "pairs_ei": 500, "pairs_ii": 100}
    spread, none = (
        part("synchronisation", tiny_config(neurons=200, synchrony={**pairs, "time_scales": scales}).core, seed=5)
        for scales in ([2.0, 32.0], None)
    )
    assert torch.equal(spread.pairs(), none.pairs())
    assert (none.decay == 0).all()
    # δ = exp(-u), u uniform between ln 2 and ln 32: a fifth of the pairs in each fifth of that.
    place = (-spread.decay.detach().double().log() - math.log(2)) / math.log(16)
    assert place.min() >= 0
    assert place.max() <= 1
    shares = torch.histc(place, 5, 0, 1) / len(place)
    assert (shares - 0.2).abs().max() < 4 * math.sqrt(0.2 * 0.8 / len(place))
    again = part(
        "synchronisation", tiny_config(neurons=200, synchrony={**pairs, "time_scales": [2.0, 32.0]}).core, seed=5
    )
    assert torch.equal(again.decay, spread.decay)


def test_clamp_bounds_the_accumulators_at_every_tick_not_the_count(tiny_model):
    module = tiny_model(synchrony={"clamp": 1.5}).cell.synchronisation
    module.decay.data.fill_(0.1)
    rates = 2 * torch.rand(5, 1, 20, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    state = run(module, rates)
    for k, (i, j) in enumerate(zip(module.left.tolist(), module.right.tolist(), strict=True)):
        total = (rates[0, 0, i] * rates[0, 0, j]).item()
        for tick in rates[1:, 0]:
            total = min(1.5, math.exp(-0.1) * total + (tick[i] * tick[j]).item())
        assert state.products[0, k].item() == pytest.approx(total, rel=1e-13)
    assert (state.products == 1.5).any()
    assert state.normalizer[0, 0].item() == pytest.approx(sum(math.exp(-0.1 * k) for k in range(5)), rel=1e-13)


def test_pairs_are_distinct_and_join_the_right_populations(tiny_config):
    module = part(
        "synchronisation", tiny_config(synchrony={"pairs_ee": 120, "pairs_ei": 64, "pairs_ii": 6}).core, seed=1
    )
    pairs = list(zip(module.left.tolist(), module.right.tolist(), strict=True))
    # As many as exist: each must appear once, none of a neuron with itself.
    assert {frozenset(pair) for pair in pairs[:120]} == {frozenset((i, j)) for i in range(16) for j in range(i)}
    assert set(pairs[120:184]) == {(i, j) for i in range(16) for j in range(16, 20)}
    assert {frozenset(pair) for pair in pairs[184:]} == {frozenset((i, j)) for i in range(16, 20) for j in range(16, i)}


def test_pairs_depend_on_the_seed_alone():
    def draw(seed):
        return draw_pairs(20, 20, 30, torch.Generator().manual_seed(seed), same=True)

    torch.manual_seed(1)
    first = draw(7)
    torch.manual_seed(2)
    assert torch.equal(draw(7), first)
    assert not torch.equal(draw(8), first)


def test_gradcheck(tiny_model):
    module = tiny_model().cell.synchronisation
    module.decay.data += 0.1
    rates = torch.rand(4, 2, 20, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
    inputs = (rates, *module.parameters())
    assert torch.autograd.gradcheck(lambda r, *_: module.read(run(module, r))[1], inputs, fast_mode=True)

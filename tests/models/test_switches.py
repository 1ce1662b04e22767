"""Parts of the core that can be switched off: what goes with them, and what must stay."""

from __future__ import annotations

import pytest
import torch

from tests.nn.parts import part
from tide.config import LossConfig
from tide.losses import objective
from tide.models.thinker import Thinker
from tide.train.monitor import activity_quantities
from tide.train.step import component_parameters

OFF = {"memory": {"enabled": False}, "neuron_models": {"enabled": False}}


def images(batch: int = 3) -> torch.Tensor:
    return torch.rand(batch, 1, 9, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_without_memory_nothing_is_recalled_trained_or_consolidated(tiny_model):
    model = tiny_model(memory={"enabled": False})
    out = model(images())
    assert out.dynamics.recall is None
    assert not {"memory", "surprise", "gate", "reconstruction"} & set(set(model.cell.observables))
    assert not any("memory" in name for name in model.state_dict())
    total, terms = objective(out, torch.tensor([0, 1, 2]), model.cell.blocks(), LossConfig(), curriculum=1.0)
    assert set(terms) == {"task", "ei", "game", "sync", "spectral"}
    assert total.isfinite()
    assert not {"surprise", "gate"} & set(activity_quantities(out.dynamics, out.ei_ratio, 16))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.cell.consolidate_([out.dynamics])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("part", ["memory", "neuron_models"])
def test_a_part_that_is_off_takes_its_own_weights_along_and_components_cover_the_rest(tiny_config, part):
    whole, without = Thinker(tiny_config()), Thinker(tiny_config(**{part: OFF[part]}))
    gone = {name for name in whole.state_dict() if name not in without.state_dict()}
    assert gone == {name for name in whole.state_dict() if name.startswith(f"cell.{part}.")}
    members = [id(p) for group in component_parameters(without).values() for p in group]
    assert sorted(members) == sorted(id(p) for p in without.parameters())


def test_without_memory_and_neuron_models_halting_still_answers_as_without(tiny_model):
    model, x = tiny_model(**OFF), images(5)
    plain, halted = model.predict(x), model.predict(x, halt=1.0)
    for name in ("label", "certainty", "ticks", "probabilities"):
        torch.testing.assert_close(getattr(halted, name), getattr(plain, name), rtol=1e-10, atol=1e-12)
    assert model.predict(x, halt=1e-9).ticks.tolist() == [1] * 5


def test_without_neuron_models_the_inhibited_rates_go_on_as_they_are(tiny_model):
    model = tiny_model(neuron_models={"enabled": False}).eval()
    trace = model(images(), record=("corrected_e", "inhibited_e", "corrected_i", "rates_i")).trace
    assert torch.equal(trace["corrected_e"], trace["inhibited_e"])
    assert torch.equal(trace["corrected_i"], trace["rates_i"])


def test_untyped_pairs_are_as_many_and_as_wide_distinct_and_drawn_among_all_neurons(tiny_config):
    every = {"pairs_ee": 120, "pairs_ei": 64, "pairs_ii": 6}  # all 190 pairs of 20 neurons
    module = part("synchronisation", tiny_config(synchrony={"typed": False} | every).core, seed=1)
    pairs = {frozenset(pair) for pair in module.pairs().t().tolist()}
    assert pairs == {frozenset((i, j)) for i in range(20) for j in range(i)}
    typed, untyped = (part("synchronisation", tiny_config(synchrony={"typed": t}).core, seed=1) for t in (True, False))
    assert untyped.pairs().shape == typed.pairs().shape == (2, 21)
    assert [stream.out_features for stream in untyped.streams] == [typed.norm.normalized_shape[0]] == [12]

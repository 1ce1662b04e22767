"""Balance, game and Dale audit along trajectories, each against the same written out neuron by neuron."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tide.analysis.fixed_points import correction_gains, lateral_bound, meeting
from tide.analysis.game import asynchrony, balance_index, game_report, own_energy_change, regime
from tide.analysis.jacobian import STAGES, dale_audit
from tide.analysis.states import energies, follow
from tide.errors import InputError
from tide.nn.constraints import RecurrentBlocks


def images(batch: int = 3) -> torch.Tensor:
    return torch.rand(batch, 1, 9, 9, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def matrices(model) -> RecurrentBlocks:
    return RecurrentBlocks(*(block.detach() for block in model.cell.blocks()))


def test_balance_index_is_that_of_each_neurons_two_currents(tiny_model):
    model = tiny_model()
    blocks, rates = matrices(model), torch.rand(2, 20, dtype=torch.float64)
    w = blocks.effective().numpy()
    for sample, found in zip(rates.numpy(), balance_index(rates, blocks), strict=True):
        for neuron in range(20):
            excitation = sum(w[neuron, j] * sample[j] for j in range(16))
            inhibition = -sum(w[neuron, j] * sample[j] for j in range(16, 20))
            expected = abs(excitation - inhibition) / (excitation + inhibition)
            assert float(found[neuron]) == pytest.approx(expected)
    assert balance_index(torch.zeros(1, 20).double(), blocks).tolist() == [[1.0] * 20]


def test_balance_is_tight_where_random_signs_cancel_and_the_index_falls_as_one_over_root_in_degree():
    index = []
    for n in (64, 256, 1024):
        generator = torch.Generator().manual_seed(n)
        # Equal numbers and equal means: the currents differ by their fluctuations only.
        blocks = RecurrentBlocks(*torch.rand(4, n, n, generator=generator, dtype=torch.float64))
        index.append(float(balance_index(torch.ones(1, 2 * n, dtype=torch.float64), blocks).mean()))
    slopes = np.diff(np.log(index)) / np.diff(np.log([64, 256, 1024]))
    assert slopes == pytest.approx([-0.5, -0.5], abs=0.1)


def test_asynchrony_is_one_together_and_one_over_n_apart():
    time = torch.linspace(0, 20, 4000, dtype=torch.float64)
    together = time.sin()[:, None, None].expand(-1, 2, 8)
    assert asynchrony(together) == pytest.approx(1.0)
    apart = torch.randn(20_000, 1, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert asynchrony(apart) == pytest.approx(1 / 8, rel=0.1)
    assert asynchrony(torch.ones(5, 2, 3)) is None


def test_inhibition_dominates_where_g_exceeds_the_ratio_of_the_populations():
    ones = torch.ones
    blocks = RecurrentBlocks(ones(16, 16), 5 * ones(16, 4), ones(4, 16), ones(4, 4))
    found = regime(torch.rand(6, 1, 20), blocks)
    assert (found.g, found.threshold, found.inhibition_dominated) == (5.0, 4.0, True)


@pytest.mark.parametrize("activation", ["relu", "softplus"])
def test_change_of_own_energy_is_that_of_moving_one_neuron_at_a_time(tiny_model, activation):
    model = tiny_model(activation=activation)
    trajectory = follow(model, images(2))
    w, rates, drive = matrices(model).effective(), trajectory.rates, trajectory.drive
    found = own_energy_change(rates, drive, w, activation)
    for tick in range(len(rates) - 1):
        for neuron in range(20):
            moved = rates[tick].clone()
            moved[:, neuron] = rates[tick + 1][:, neuron]
            before, after = (energies(x, w, drive[tick + 1], activation)[:, neuron] for x in (rates[tick], moved))
            torch.testing.assert_close(found[tick, :, neuron], after - before)


def test_the_game_is_reported_per_tick_and_names_where_there_is_no_mean_field_equilibrium(tiny_model):
    model = tiny_model()
    trajectory, blocks = follow(model, images()), matrices(model)
    report = game_report(trajectory.rates, trajectory.drive, blocks, "relu")
    assert report.nash_residual.shape == (4,)
    assert bool(((report.falling >= 0) & (report.falling <= 1)).all())
    assert report.h_e == pytest.approx(1 - float(blocks.ee.sum(1).mean()))
    steady = RecurrentBlocks(*(torch.zeros_like(b) for b in blocks))
    # Without recurrence the only equilibrium is the rectified drive.
    rest = torch.relu(trajectory.drive)
    assert float(game_report(rest, trajectory.drive, steady, "relu").nash_residual.abs().max()) < 1e-12


def test_the_weights_alone_keep_dales_signs_and_the_first_to_break_them_is_named(tiny_model):
    model = tiny_model()
    (state,) = [s for k, s in enumerate(follow(model, images(1)).states) if k == 2]
    audit = dale_audit(model, state)
    assert list(audit.excitatory) == list(audit.inhibitory) == list(STAGES)
    assert audit.excitatory["weights"] == audit.inhibitory["weights"] == 1.0
    bare = {"norm": "none", "lateral": {"iterations": 0}, "neuron_models": {"enabled": False}}
    model = tiny_model(**bare)
    audit = dale_audit(model, follow(model, images(1)).states[2])
    assert audit.broken_by is None
    model = tiny_model(**{**bare, "norm": "rms"})
    audit = dale_audit(model, follow(model, images(1)).states[2])
    assert audit.broken_by == "norm"


def test_lateral_bound_is_a_lipschitz_constant(tiny_model):
    model = tiny_model()
    lateral, bound = model.cell.lateral.train(), lateral_bound(model)
    weights = lateral.compose()
    first, second = (3 * torch.rand(200, 16, dtype=torch.float64) for _ in range(2))
    with torch.no_grad():
        moved = (lateral(first, weights)[0] - lateral(second, weights)[0]).norm(dim=1)
    assert bool((moved <= bound * (first - second).norm(dim=1) + 1e-12).all())


def test_correction_gains_are_the_summed_slopes_over_the_history(tiny_model):
    model = tiny_model()
    moment = follow(model, images(1)).states[3]
    gains, state = correction_gains(model, moment), moment.state
    models, weights, step = model.cell.neuron_models, model.cell.neuron_models.compose(), 1e-6
    expected = torch.zeros(20, dtype=torch.float64)
    for entry in range(state.history.shape[2]):
        up, down = state.history.clone(), state.history.clone()
        up[:, :, entry] += step
        down[:, :, entry] -= step
        expected += ((models(up, weights) - models(down, weights)) / (2 * step)).abs()[0].detach()
    torch.testing.assert_close(gains, expected, rtol=1e-6, atol=1e-9)
    without = tiny_model(neuron_models={"enabled": False})
    assert correction_gains(without, follow(without, images(1)).states[0]) is None


def test_under_contraction_trajectories_meet_at_least_at_the_certified_rate(tiny_model):
    guarded = {"norm": "rms_cap", "guarantee": "contraction", "neuron_models": {"feedback": False}}
    model = tiny_model(**guarded)
    state = follow(model, images(1)).states[3]
    near = state.state.rates[0].detach()
    far = near + 5 * torch.rand(20, dtype=torch.float64)
    met = meeting(model, state, near, far)
    assert met.certified is not None
    assert met.worst is not None
    assert met.worst <= met.certified + 1e-12
    assert met.factor <= met.certified
    assert float(met.distances[-1]) < 1e-3 * float(met.distances[0])
    free = tiny_model()
    state = follow(free, images(1)).states[3]
    assert meeting(free, state, state.state.rates[0].detach(), far, ticks=5).certified is None


@pytest.mark.parametrize("kind", ["ctm", "lstm"])
def test_a_model_without_populations_is_refused_in_one_line(tiny_model, kind):
    with pytest.raises(InputError, match=f"core is {kind}") as caught:
        follow(tiny_model(kind=kind), images())
    assert "\n" not in str(caught.value)

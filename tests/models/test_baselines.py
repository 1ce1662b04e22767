"""The baselines against slow versions, and models without excitatory and inhibitory populations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import tide
from tests import slow_baselines
from tide.config import LossConfig
from tide.errors import ConfigError
from tide.evaluate.answers import Hedging
from tide.losses import objective, task_loss
from tide.models.ctm import choose_pairs
from tide.models.thinker import Thinker
from tide.models.ticks import Collector, begin, run_ticks
from tide.train.monitor import StabilityMonitor
from tide.train.step import MicroBatch

KINDS = ("ctm", "lstm")
VARIANTS = {
    "linear": {"kind": "ctm", "synapse_depth": 1},
    "unet_2": {"kind": "ctm"},
    "unet_3": {"kind": "ctm", "synapse_depth": 3},
    "shallow": {"kind": "ctm", "deep": False},
    "normed": {"kind": "ctm", "neuron_norm": True},
    "shallow_normed": {"kind": "ctm", "deep": False, "neuron_norm": True},
    "self_pairs": {"kind": "ctm", "self_pairs": 3},
    "random": {"kind": "ctm", "selection": "random", "synchrony_out": 4, "synchrony_action": 3},
    "first_last": {"kind": "ctm", "selection": "first-last", "synchrony_out": 4, "synchrony_action": 3},
    "one_layer": {"kind": "lstm", "layers": 1},
    "three_layers": {"kind": "lstm", "layers": 3},
}


def images(batch: int = 3) -> torch.Tensor:
    return torch.rand(batch, 1, 9, 9, generator=torch.Generator().manual_seed(11), dtype=torch.float64)


def tokens(batch: int = 2, positions: int = 5) -> torch.Tensor:
    return torch.randn(batch, positions, 8, generator=torch.Generator().manual_seed(12), dtype=torch.float64)


def think(cell, given: torch.Tensor, ticks: int):
    """The loop over ticks, without the model around it."""
    collector = Collector(cell, cell.observables)
    run_ticks(cell.step, begin(cell, given), collector, ticks)
    observed = collector.stacked()
    reading = cell.readout(observed)
    return {**observed, **reading.observed, "logits": reading.logits}


@pytest.mark.parametrize("variant", VARIANTS)
def test_everything_recorded_and_the_logits_equal_the_slow_forward(tiny_model, variant):
    cell = tiny_model(**VARIANTS[variant]).cell.train()
    with torch.no_grad():
        found = think(cell, tokens(), 4)
    p = {name: value.numpy() for name, value in cell.state_dict().items()}
    expected = getattr(slow_baselines, VARIANTS[variant]["kind"])(tokens().numpy(), p, cell.config, 4)
    assert set(found) == set(expected) - {"certainty"} == {*cell.observables, "logits"}
    for name, value in found.items():
        np.testing.assert_allclose(value.numpy(), expected[name], rtol=1e-10, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_model_adds_normalisation_backbone_and_certainty_to_the_cell(tiny_model, kind):
    model, x = tiny_model(kind=kind).eval(), images()
    with torch.no_grad():
        out = model(x, record=model.cell.observables)
        given = model.backbone((x - 0.5) / 0.25)
    p = {name: value.numpy() for name, value in model.cell.state_dict().items()}
    expected = getattr(slow_baselines, kind)(given.numpy(), p, model.config.core, 4)
    np.testing.assert_allclose(out.logits.numpy(), expected["logits"], rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(out.certainty.numpy(), expected["certainty"], rtol=1e-9, atol=1e-11)
    for name, value in out.trace.items():
        np.testing.assert_allclose(value.numpy(), expected[name], rtol=1e-10, atol=1e-11, err_msg=name)


# Whose synchrony is read


def test_random_pairs_are_as_many_as_asked_and_the_first_are_of_a_neuron_with_itself(tiny_config):
    core = tiny_config(kind="ctm", synchrony_out=40, synchrony_action=30, self_pairs=10).core
    for (left, right), count in zip(choose_pairs(core, torch.Generator().manual_seed(0)), (30, 40), strict=True):
        assert len(left) == len(right) == count
        assert torch.equal(left[:10], right[:10])
        assert not torch.equal(left[10:], right[10:])
        assert 0 <= min(left.min(), right.min()) <= max(left.max(), right.max()) < 20


@pytest.mark.parametrize("selection", ["random", "first-last"])
def test_all_pairs_between_the_selected_neurons_are_read_row_by_row_with_self_pairs(tiny_config, selection):
    core = tiny_config(kind="ctm", selection=selection, synchrony_out=4, synchrony_action=3).core
    action, out = (pairs.tolist() for pairs in choose_pairs(core, torch.Generator().manual_seed(0)))
    for (left, right), n, first in ((action, 3, 17), (out, 4, 0)):
        # Row i of the triangle starts at pair (i, i): the left neurons are those of the starts, the right of row 0.
        starts = [sum(n - k for k in range(i)) for i in range(n)]
        chosen = [left[start] for start in starts], right[:n]
        assert [left, right] == [
            [chosen[0][i] for i in range(n) for _ in range(i, n)],
            [chosen[1][j] for i in range(n) for j in range(i, n)],
        ]
        if selection == "first-last":
            assert chosen == ([*range(first, first + n)],) * 2


def test_seed_and_configuration_determine_weights_and_pairs(tiny_config):
    torch.manual_seed(1)
    first = Thinker(tiny_config(kind="ctm")).state_dict()
    torch.manual_seed(2)
    again = Thinker(tiny_config(kind="ctm")).state_dict()
    other = Thinker(replace(tiny_config(kind="ctm"), seed=4)).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    for name in ("cell.start", "cell.synchrony_out.left", "cell.synchrony_action.right"):
        assert not torch.equal(first[name], other[name]), name


# Gradients


@pytest.mark.parametrize("variant", ["unet_2", "linear", "shallow_normed", "three_layers"])
def test_gradcheck_over_ticks(tiny_model, variant):
    cell = tiny_model(**VARIANTS[variant]).cell
    for name, parameter in cell.named_parameters():
        if name.endswith("decay"):
            parameter.data += 0.1
    arguments = (tokens().requires_grad_(), *cell.parameters())

    def logits(given, *_):
        return think(cell, given, 3)["logits"]

    assert torch.autograd.gradcheck(logits, arguments, fast_mode=True, rtol=1e-3)


def gradients(value: torch.Tensor, inputs: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    return torch.autograd.grad(value, inputs, retain_graph=True, materialize_grads=True)


# What an answer depends on


@pytest.mark.parametrize("kind", KINDS)
def test_answers_in_eval_mode_depend_on_the_image_alone(tiny_model, kind):
    model, x, order = tiny_model(kind=kind).eval(), images(5), [3, 0, 4, 1, 2]
    with torch.no_grad():
        together = model(x).logits
        assert torch.equal(model(x).logits, together)
        torch.testing.assert_close(model(x[order]).logits, together[order], rtol=1e-11, atol=1e-12)
        alone = torch.cat([model(image[None]).logits for image in x])
    torch.testing.assert_close(alone, together, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_halting_above_one_changes_nothing_and_below_lets_every_image_go_at_its_own_tick(tiny_model, kind):
    model = tiny_model(kind=kind, ticks=6).eval()
    # Sharp attention, answers and neuron models, images of different contrast: answers ripen at different ticks.
    for name, parameter in model.cell.named_parameters():
        parameter.data *= 10 if name in ("head.weight", "attention.inner") else 1
        parameter.data *= 0.2 if name.endswith("temperature") else 1
    x = images(6) * torch.linspace(0, 1, 6, dtype=torch.float64)[:, None, None, None]
    plain, unreachable = model.predict(x), model.predict(x, halt=1.0)
    for name in ("label", "certainty", "ticks", "probabilities"):
        torch.testing.assert_close(getattr(unreachable, name), getattr(plain, name), rtol=1e-10, atol=1e-12)
    with torch.no_grad():
        out = model(x)
    threshold = out.certainty.quantile(0.7).item()
    stopped = model.predict(x, halt=threshold)
    for b, certainties in enumerate(out.certainty):
        reached = (certainties >= threshold).nonzero().flatten()
        tick = int(reached[0]) if len(reached) else int(certainties.argmax())
        assert stopped.ticks[b] == (tick + 1 if len(reached) else 6)
        torch.testing.assert_close(stopped.probabilities[b], out.logits[b, :, tick].softmax(0), rtol=1e-9, atol=1e-12)
    assert len(set(stopped.ticks.tolist())) > 2
    assert (out.certainty.amax(1) < threshold).any()


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_acts_in_training_only(tiny_model, kind):
    plain, dropping = tiny_model(kind=kind), tiny_model(kind=kind, dropout=0.5)
    assert plain.state_dict().keys() == dropping.state_dict().keys()
    dropping.load_state_dict(plain.state_dict())
    x = images()
    assert torch.equal(dropping.eval()(x).logits, plain.eval()(x).logits)
    torch.manual_seed(0)
    first, second = dropping.train()(x).logits, dropping(x).logits
    assert not torch.allclose(first, second)
    assert torch.equal(plain.train()(x).logits, plain(x).logits)


def test_neuron_dropout_is_the_dropout_unless_given(tiny_model):
    def rates(**core) -> list[float]:
        return [layer.dropout for layer in tiny_model(kind="ctm", **core).cell.trace_models.layers]

    assert rates(dropout=0.5) == [0.5, 0.5]
    assert rates(dropout=0.5, neuron_dropout=0.0) == [0.0, 0.0]


@pytest.mark.parametrize(("kind", "named"), [("ctm", tide.CTM), ("lstm", tide.LSTM)])
def test_saving_and_loading_is_exact_and_keeps_the_class(tiny_model, tmp_path, kind, named):
    model, x = tiny_model(kind=kind, dtype=torch.float32).eval(), images().float()
    model.save_pretrained(tmp_path)
    loaded = tide.load(tmp_path)
    assert type(loaded) is type(model) is named
    assert loaded.config == model.config
    assert torch.equal(loaded(x).logits, model(x).logits)


@pytest.mark.parametrize("core", [{"kind": "ctm", "synapse_depth": 1, "deep": False}, {"kind": "lstm"}])
def test_compiled_step_agrees_with_eager(tiny_model, core):
    model, x = tiny_model(**core, ticks=2), images()
    eager = model(x).logits
    expected = gradients(eager.square().sum(), list(model.parameters()))
    torch._dynamo.reset()
    model.compile_step(backend="aot_eager")
    compiled = model(x).logits
    torch.testing.assert_close(compiled, eager, rtol=1e-10, atol=1e-12)
    found = gradients(compiled.square().sum(), list(model.parameters()))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def pictures() -> torch.Tensor:
    return torch.rand(3, 1, 9, 9, generator=torch.Generator().manual_seed(11), dtype=torch.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_objective_is_the_task_alone_and_the_monitor_reads_gradients_without_alarms(tiny_model, kind):
    model, x, labels = tiny_model(kind=kind), pictures(), torch.tensor([0, 1, 2])
    out = model(x)
    assert (out.ei_ratio, out.dynamics, model.cell.blocks()) == (None, None, None)
    losses = objective(out, labels, None, LossConfig(), curriculum=1.0)
    assert set(losses.terms) == {"task"}
    assert losses.total == losses.terms["task"] == task_loss(out.logits, out.certainty, labels)
    losses.total.backward()
    quantities, alarms = StabilityMonitor(model, 20).read(
        MicroBatch(losses, torch.tensor(0.0), torch.tensor(True), out, labels)
    )
    gradients = {f"gradient_{name}" for name in model.components()}
    assert set(quantities) == gradients | set(Hedging._fields)
    assert all(quantities[name] > 0 for name in gradients)
    assert alarms == []
    pairs = model.cell.pairs()
    assert pairs is None if kind == "lstm" else pairs.shape == (2, 7)


@pytest.mark.parametrize("kind", KINDS)
def test_auxiliary_losses_are_refused_without_two_populations(kind):
    config = tide.preset(f"{kind}.mnist")
    for name in ("ei", "game", "sync", "spectral", "reconstruction"):
        with pytest.raises(ConfigError, match=rf"loss\.{name}_weight must be 0, got 0\.1: core {kind}"):
            replace(config, loss=replace(config.loss, **{f"{name}_weight": 0.1}))

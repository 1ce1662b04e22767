"""The whole model: against the slow forward, its gradients, and what its answers may and may not depend on."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from tests import slow
from tide.errors import InputError
from tide.models.thinker import Thinker
from tide.models.ticks import Collector, begin, run_ticks

SIZE = 9

VARIANTS = {
    "default": {},
    "softplus": {"activation": "softplus"},
    "rms_cap": {"norm": "rms_cap"},
    "per_neuron": {"ratio_normalization": "per_neuron", "ratio_target": 1.0},
    "no_feedback": {"neuron_models": {"feedback": False}},
    "no_inhibition": {"inhibition": False},
    "residual": {"attention": {"residual": True}},
    "shared_memory": {"memory": {"scope": "batch"}},
    "time_constants": {"tau_e": 4.0, "tau_i": 7.0, "dt": 0.5, "lateral": {"iterations": 3}},
    "rms_shared": {"norm": "rms_shared"},
    "layer": {"norm": "layer", "start": "balanced", "dt": 5.0},
    "no_norm": {"norm": "none"},
    "free_signs": {"dale": False},
    "untyped_pairs": {"synchrony": {"typed": False}},
    "no_memory": {"memory": {"enabled": False}},
    "no_neuron_models": {"neuron_models": {"enabled": False}},
    "no_neuron_models_no_feedback": {"neuron_models": {"enabled": False, "feedback": False}},
    "bare": {
        "norm": "none",
        "dale": False,
        "inhibition": False,
        "lateral": {"iterations": 0},
        "synchrony": {"typed": False},
        "memory": {"enabled": False},
        "neuron_models": {"enabled": False},
    },
}


def images(batch: int = 3, dtype: torch.dtype = torch.float64, channels: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(11)
    return torch.rand(batch, channels, SIZE, SIZE, generator=generator, dtype=dtype)


def tokens(batch: int = 3, positions: int = 5) -> torch.Tensor:
    return torch.randn(batch, positions, 8, generator=torch.Generator().manual_seed(12), dtype=torch.float64)


def think(cell, given: torch.Tensor, ticks: int, record: tuple[str, ...] = ()):
    """The loop over ticks, without the model around it."""
    collector = Collector(cell, record)
    run_ticks(cell.step, begin(cell, given), collector, ticks)
    observed = collector.stacked()
    reading = cell.readout(observed)
    return {**observed, **reading.observed, "logits": reading.logits}, collector.last


# Against the slow forward


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_everything_recorded_and_the_logits_equal_the_slow_forward(tiny_model, variant, training):
    cell = tiny_model(**VARIANTS[variant]).cell.train(training)
    core, given = cell.config, tokens()
    with torch.no_grad():
        found, last = think(cell, given, core.ticks, tuple(cell.observables))
    p = {name: value.numpy() for name, value in cell.state_dict().items()}
    shared = training and core.memory.scope == "batch"
    expected = slow.forward(given.numpy(), p, core, core.ticks, shared=shared)
    expected["lateral_iterations"] = np.full((3, core.ticks), core.lateral.iterations)
    if core.memory.enabled:
        expected["reconstruction"] = expected["surprise"]
    assert set(expected) >= set(found) >= {"latent", "logits"}
    for name, value in found.items():
        np.testing.assert_allclose(value.numpy(), expected[name], rtol=1e-10, atol=1e-11, err_msg=name)
    for name in ("activation", "drive"):
        np.testing.assert_allclose(getattr(last, name).numpy(), expected[name][:, -1], rtol=1e-10, atol=1e-11)


def test_model_adds_normalisation_backbone_and_certainty_to_the_cell(tiny_model):
    model, x = tiny_model().eval(), images()
    with torch.no_grad():
        out = model(x, record=("latent",))
        found, last = think(model.cell, model.backbone((x - 0.5) / 0.25), 4)
    torch.testing.assert_close(out.logits, found["logits"], rtol=0, atol=0)
    torch.testing.assert_close(out.trace["latent"], found["latent"], rtol=0, atol=0)
    torch.testing.assert_close(out.dynamics.rates, last.rates, rtol=0, atol=0)
    expected = [[slow.certainty(out.logits[b, :, t].numpy()) for t in range(4)] for b in range(3)]
    np.testing.assert_allclose(out.certainty.numpy(), expected, rtol=1e-12, atol=1e-14)


# Gradients


def test_gradcheck_of_the_dynamics_over_ticks(tiny_model):
    cell = tiny_model(activation="softplus").cell
    dynamics, lateral = cell.wilson_cowan, cell.lateral
    chosen = (dynamics.w_ee, dynamics.w_ei, dynamics.gain, dynamics.start, lateral.strength, cell.neuron_models.first)
    arguments = (tokens(2, 3).requires_grad_(), *chosen, cell.synchronisation.decay, cell.attention.query.weight)

    def final(given, *_):
        found, last = think(cell, given, 3)
        return found["latent"], found["ei_ratio"], last.corrected

    assert torch.autograd.gradcheck(final, arguments, fast_mode=True, rtol=1e-3)


def test_gradcheck_of_the_logits_of_one_tick_with_respect_to_images_and_parameters(tiny_model):
    # One tick: later ticks read a memory whose carried state has no gradient by design.
    model = tiny_model(activation="softplus").eval()
    arguments = (images(2).requires_grad_(), model.cell.wilson_cowan.w_ie, model.cell.memory.sharpness)
    assert torch.autograd.gradcheck(lambda x, *_: model(x, ticks=1).logits, arguments, fast_mode=True, rtol=1e-3)


def gradients(model: Thinker, loss: torch.Tensor) -> list[torch.Tensor]:
    parameters = [p for p in model.parameters() if p.requires_grad]
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


# What determines a model


def test_seed_and_configuration_determine_weights_and_pairs_and_no_generator_is_touched(tiny_config):
    torch.manual_seed(1)
    first = Thinker(tiny_config())
    torch.manual_seed(2)
    np.random.seed(2)  # noqa: NPY002
    random.seed(2)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    second = Thinker(tiny_config())
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before[1:]  # noqa: NPY002
    state = second.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in first.state_dict().items())
    other = Thinker(type(first.config)(**{**vars(first.config), "seed": 4}))
    assert not torch.equal(other.cell.wilson_cowan.w_ee, first.cell.wilson_cowan.w_ee)
    assert not torch.equal(other.cell.synchronisation.left, first.cell.synchronisation.left)


def test_building_a_model_does_not_seed_the_generators_of_accelerators(tiny_config, monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    Thinker(tiny_config())
    assert seeded == []


def test_saving_and_loading_is_exact(tiny_model, tmp_path):
    model = tiny_model(dtype=torch.float32, norm="rms_cap").eval()
    model.save_pretrained(tmp_path)
    loaded = Thinker.from_pretrained(tmp_path)
    assert loaded.config == model.config
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in loaded.state_dict().items())
    x = images(dtype=torch.float32)
    assert torch.equal(loaded.eval()(x).logits, model(x).logits)


# What an answer depends on


def test_answers_in_eval_mode_depend_on_the_image_alone(tiny_model):
    # With tolerance, so that lateral inhibition stops early for some samples; with the memory's batch scope.
    model = tiny_model(lateral={"tolerance": 1e-2, "iterations": 8}, memory={"scope": "batch"}).eval()
    x, order = images(5), [3, 0, 4, 1, 2]
    with torch.no_grad():
        together = model(x).logits
        assert torch.equal(model(x).logits, together)
        torch.testing.assert_close(model(x[order]).logits, together[order], rtol=1e-11, atol=1e-12)
        alone = torch.cat([model(image[None]).logits for image in x])
    torch.testing.assert_close(alone, together, rtol=1e-11, atol=1e-12)


def test_predict_answers_at_the_most_certain_tick_and_halting_above_one_changes_nothing(tiny_model):
    model, x = tiny_model().train(), images(5)
    plain, halted = model.predict(x), model.predict(x, halt=1.0)
    assert model.training
    with torch.no_grad():
        out = model.eval()(x)
    for b, tick in enumerate(out.certainty.argmax(1).tolist()):
        torch.testing.assert_close(plain.probabilities[b], out.logits[b, :, tick].softmax(0), rtol=1e-12, atol=0)
    assert torch.equal(plain.label, plain.probabilities.argmax(1))
    assert plain.ticks.tolist() == [4] * 5
    for name in ("label", "certainty", "ticks", "probabilities"):
        torch.testing.assert_close(getattr(halted, name), getattr(plain, name), rtol=1e-10, atol=1e-12)


def test_halting_drops_finished_samples_and_answers_as_a_loop_over_images(tiny_model, monkeypatch):
    # Fast neurons, sharp attention and images of different contrast: answers ripen at different ticks.
    model = tiny_model(ticks=6, tau_e=1.0, tau_i=2.0, neuron_models={"memory_length": 6}).eval()
    model.cell.attention.key.weight.data *= 30
    model.cell.wilson_cowan.input.weight.data *= 3
    x = images(6) * torch.linspace(0, 1, 6, dtype=torch.float64)[:, None, None, None]
    with torch.no_grad():
        outs = [model(image[None]) for image in x]
    certainties = torch.stack([out.certainty[0] for out in outs])
    threshold = certainties.quantile(0.7).item()
    rows, step = [], model.cell.step

    def counted(context, state):
        rows.append(state.rates.shape[0])
        return step(context, state)

    monkeypatch.setattr(model.cell, "step", counted)
    prediction = model.predict(x, halt=threshold)
    for b, out in enumerate(outs):
        reached = (certainties[b] >= threshold).nonzero().flatten()
        tick = int(reached[0]) if len(reached) else int(certainties[b].argmax())
        thought = tick + 1 if len(reached) else 6
        assert prediction.ticks[b] == thought
        assert prediction.label[b] == out.logits[0, :, tick].argmax()
        torch.testing.assert_close(prediction.certainty[b], certainties[b, tick], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(prediction.probabilities[b], out.logits[0, :, tick].softmax(0), rtol=1e-10, atol=0)
    assert rows == [int((prediction.ticks > tick).sum()) for tick in range(len(rows))]
    assert len(set(prediction.ticks.tolist())) > 2
    assert (certainties.amax(1) < threshold).any()


def test_recorded_quantities_have_their_shapes_and_only_they_are_returned(tiny_model):
    model = tiny_model(dtype=torch.float32)
    shapes = {
        **{name: (16,) for name in ("rates_e", "preactivation_e", "inhibited_e", "corrected_e")},
        **{name: (4,) for name in ("rates_i", "preactivation_i", "corrected_i")},
        **{name: () for name in ("ei_ratio", "sync_power", "lateral_iterations", "surprise", "gate", "reconstruction")},
        **{"synchrony": (21,), "latent": (12,), "attention": (2, 64), "memory": (5,), "drive": (20,)},
    }
    assert set(model.cell.observables) == set(shapes)
    out = model(images(2, torch.float32), record=tuple(shapes), ticks=3)
    assert {name: tuple(value.shape) for name, value in out.trace.items()} == {n: (2, 3, *s) for n, s in shapes.items()}
    assert (out.logits.shape, out.certainty.shape, out.ei_ratio.shape) == ((2, 4, 3), (2, 3), (2, 3))
    assert dict(model(images(2, torch.float32)).trace) == {}


def test_an_unknown_record_name_is_answered_by_the_nearest(tiny_model):
    with pytest.raises(InputError, match=r"got 'rate_e'; did you mean 'rates_e'\?"):
        tiny_model()(images(), record=("rate_e",))


@pytest.mark.parametrize(("dtype", "training"), [(torch.float32, False), (torch.float64, True)])
def test_compiled_step_agrees_with_eager(tiny_model, dtype, training):
    model, x = tiny_model(dtype).train(training), images(dtype=dtype)
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 1e-10, "atol": 1e-12}
    eager = model(x).logits
    expected = gradients(model, eager.square().sum())
    torch._dynamo.reset()
    model.compile_step(backend="aot_eager")
    compiled = model(x).logits
    torch.testing.assert_close(compiled, eager, **tolerance)
    torch.testing.assert_close(gradients(model, compiled.square().sum()), expected, **tolerance)


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (torch.zeros(2, 1, 9, 9, dtype=torch.uint8), r"float in \[0, 1\], got torch\.uint8"),
        (torch.zeros(2, 3, 9, 9), r"\(B, 1, H, W\), got \(2, 3, 9, 9\)"),
        (torch.zeros(1, 9, 9), r"\(B, 1, H, W\), got \(1, 9, 9\)"),
        (torch.zeros(2, 1, 7, 9), r"8x8 pixels or more, got 7x9"),
        (torch.full((2, 1, 9, 9), float("nan")), "NaN"),
        (torch.zeros(0, 1, 9, 9), "at least 1 image, got 0"),
    ],
    ids=["integer", "channels", "dimensions", "small", "nan", "empty"],
)
def test_bad_images_are_refused_in_one_line(tiny_model, bad, told):
    model = tiny_model(torch.float32)
    for call in (model, model.predict):
        with pytest.raises(InputError, match=told) as caught:
            call(bad)
        assert "\n" not in str(caught.value)

"""A whole model on the native loop: what users call gives what it gives on the eager one."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tide.models.thinker import Thinker
from tide.models.ticks import Collector, begin, run_native
from tide.native.loop import Panels, Workspace

CUTS = [(0, 1), (0, 3), (2, 0), (3, 2)]  # (tbptt, recompute) at 7 ticks


def images(batch: int = 5) -> torch.Tensor:
    return torch.rand(batch, 1, 9, 9, generator=torch.Generator().manual_seed(11))


def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDE_NATIVE", "0")


def slopes(model: Thinker, x: torch.Tensor, **options: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    model.zero_grad()
    out = model(x, **options)
    assert out.ei_ratio is not None
    assert out.dynamics is not None
    (out.logits.square().mean() + out.ei_ratio.mean() + out.dynamics.drive.square().mean()).backward()
    return out.logits.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(("tbptt", "recompute"), CUTS)
def test_cut_and_recomputed_gradients_are_those_of_eager(tiny_model, native, monkeypatch, tbptt, recompute):
    model, x = tiny_model(torch.float32).train(), images()
    kept, kept_slopes = slopes(model, x, ticks=7, tbptt=tbptt)
    found, found_slopes = slopes(model, x, ticks=7, tbptt=tbptt, recompute=recompute)
    torch.testing.assert_close(found, kept, rtol=0, atol=0)
    eager(monkeypatch)
    expected, expected_slopes = slopes(model, x, ticks=7, tbptt=tbptt)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert found_slopes.keys() == kept_slopes.keys() == expected_slopes.keys()
    for name, slope in expected_slopes.items():
        torch.testing.assert_close(found_slopes[name], kept_slopes[name], rtol=1e-4, atol=1e-6, msg=name)
        torch.testing.assert_close(found_slopes[name], slope, rtol=1e-2, atol=2e-4, msg=name)


@pytest.mark.parametrize("batch", [6, 50, 150])
def test_halting_answers_as_eager_and_closes_ranks(tiny_model, native, monkeypatch, batch):
    # Fast neurons, sharp attention and images of different contrast: answers ripen at different ticks.
    model = tiny_model(torch.float32, ticks=6, tau_e=1.0, tau_i=2.0, neuron_models={"memory_length": 4}).eval()
    model.cell.attention.key.weight.data *= 30
    model.cell.wilson_cowan.input.weight.data *= 3
    x = images(batch) * torch.linspace(0, 1, batch)[:, None, None, None]
    with torch.no_grad():
        threshold = float(model(x).certainty.flatten().quantile(0.7))
    held, advance = [], Panels.advance

    def watched(panels, ticks):
        held.append(panels._call.sizes.batch)
        return advance(panels, ticks)

    monkeypatch.setattr(Panels, "advance", watched)
    found = model.predict(x, halt=threshold)
    assert held[0] == batch
    assert batch < 50 or held[-1] < batch
    assert model.predict(x, halt=1.0).ticks.tolist() == [6] * batch
    eager(monkeypatch)
    expected = model.predict(x, halt=threshold)
    assert len(set(expected.ticks.tolist())) > 2
    for name in ("label", "certainty", "ticks", "probabilities"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-4, atol=1e-5)


def test_answers_do_not_depend_on_the_number_of_threads_nor_on_neighbours(tiny_model, native):
    model, x = tiny_model(torch.float32).eval(), images(50)
    with torch.no_grad():
        latent = model(x, record="latent").trace["latent"]
        torch.set_num_threads(3)
        try:
            assert torch.equal(model(x, record="latent").trace["latent"], latent)
        finally:
            torch.set_num_threads(1)
        alone = torch.cat([model(image[None], record="latent").trace["latent"] for image in x])
    torch.testing.assert_close(alone, latent, rtol=1e-4, atol=1e-5)


def test_gradients_do_not_depend_on_the_number_of_threads(tiny_model, native):
    model, x = tiny_model(torch.float32).train(), images(50)
    _, expected = slopes(model, x)
    torch.set_num_threads(2)
    try:
        _, found = slopes(model, x)
    finally:
        torch.set_num_threads(1)
    for name, slope in expected.items():
        torch.testing.assert_close(found[name], slope, rtol=1e-4, atol=1e-5, msg=name)


def test_several_graphs_live_at_once_and_none_can_be_walked_twice(tiny_model, native):
    model = tiny_model(torch.float32).train()
    first, second = images(20), images(20).flip(0)
    alone = [slopes(model, x)[1] for x in (first, second)]
    for order in ((0, 1), (1, 0)):
        outs = [model(x) for x in (first, second)]
        for number in order:
            model.zero_grad()
            out = outs[number]
            (out.logits.square().mean() + out.ei_ratio.mean() + out.dynamics.drive.square().mean()).backward()
            for name, p in model.named_parameters():
                if p.grad is not None:
                    torch.testing.assert_close(p.grad, alone[number][name], rtol=0, atol=0, msg=name)
    out = model(first)
    out.logits.sum().backward()
    with pytest.raises(RuntimeError, match="a second time"):
        out.logits.sum().backward()
    out = model(first)
    (slope,) = torch.autograd.grad(out.logits.square().sum(), model.cell.wilson_cowan.gain, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


def test_gradients_are_those_of_the_forward_pass_where_the_backward_pass_is_under_autocast(tiny_model, native):
    cell = tiny_model(torch.float32).cell.train()
    tokens = torch.rand(3, 5, cell.attention.key.in_features)
    slopes = []
    for enabled in (False, True):
        collector = Collector(cell, ())
        run_native(native, cell, begin(cell, tokens), collector, 4)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            slopes.append(torch.autograd.grad(collector.stacked()["latent"].sum(), cell.wilson_cowan.w_ee))
    torch.testing.assert_close(*slopes, rtol=0, atol=0)


def test_frozen_weights_get_no_gradient_and_the_others_keep_theirs(tiny_model, native):
    model, x = tiny_model(torch.float32).train(), images(3)
    _, expected = slopes(model, x)
    frozen = {name for number, (name, _) in enumerate(model.named_parameters()) if number % 3}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in frozen)
    _, found = slopes(model, x)
    assert found.keys() == expected.keys() - frozen
    for name, slope in found.items():
        torch.testing.assert_close(slope, expected[name], rtol=1e-5, atol=1e-6, msg=name)
    model.requires_grad_(False)
    assert not model(x).logits.requires_grad


def test_copies_and_pickles_of_a_model_answer_alike(tiny_model, native):
    model, x = tiny_model(torch.float32).eval(), images()
    with torch.no_grad():
        expected = model(x).logits
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert torch.equal(other(x).logits, expected)


def test_nothing_is_kept_for_a_backward_pass_that_cannot_come(tiny_model, native):
    model = tiny_model(torch.float32).train()
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(tensor.numel()) or tensor, lambda t: t):
        with torch.no_grad():
            model(images(), ticks=40)
        assert saved == []
        model(images(), ticks=40)
    assert max(saved) > 16 * 40 * 20 * 4


@pytest.mark.parametrize("place", ["wilson_cowan.gain", "lateral.w_in", "neuron_models.second", "attention.key.weight"])
def test_nan_comes_out_as_nan(tiny_model, native, monkeypatch, place):
    model, x = tiny_model(torch.float32).train(), images(3)
    with torch.no_grad():
        model.cell.get_parameter(place).flatten()[0] = float("nan")
    found, found_slopes = slopes(model, x)
    eager(monkeypatch)
    expected, expected_slopes = slopes(model, x)
    assert torch.equal(found.isnan(), expected.isnan())
    assert expected.isnan().any()
    assert {n for n, g in found_slopes.items() if g.isnan().any()} == {
        n for n, g in expected_slopes.items() if g.isnan().any()
    }


def test_epsilons_of_the_norms_are_those_of_the_modules(tiny_model, native, monkeypatch):
    model, x = tiny_model(torch.float32).eval(), images(3)
    model.cell.synchronisation.norm.eps, model.cell.attention.norm.eps = 0.3, 0.7
    with torch.no_grad():
        found = model(x).logits
        eager(monkeypatch)
        torch.testing.assert_close(found, model(x).logits, rtol=1e-4, atol=1e-5)


def test_whoever_watches_every_operation_sees_the_eager_loop(tiny_model, native, monkeypatch):
    class Watch(TorchDispatchMode):
        seen = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.seen += 1
            return func(*args, **(kwargs or {}))

    counts = []
    for wish in ("require", "0"):
        monkeypatch.setenv("TIDE_NATIVE", wish)
        with Watch() as watch, torch.no_grad():
            tiny_model(torch.float32).eval()(images(2))
        counts.append(watch.seen)
    assert counts[0] == counts[1] > 100


def test_workspace_lends_a_block_again_once_nobody_views_it():
    workspace, shapes = Workspace(), {"a": (3, 5), "b": (7,)}
    first = workspace.tensors(shapes, torch.float32)
    assert {name: tuple(tensor.shape) for name, tensor in first.items()} == shapes
    place, part = first["a"].data_ptr(), first["b"][2:]
    second = workspace.tensors(shapes, torch.float32)["a"]
    assert second.data_ptr() != place
    del first
    third = workspace.tensors(shapes, torch.float32)["a"]
    assert third.data_ptr() != place, "a view still holds it"
    del part
    assert workspace.tensors(shapes, torch.float32)["a"].data_ptr() == place

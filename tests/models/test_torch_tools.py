"""PyTorch's own tools on a model: torch.func, torch.export, tracing, pruning, weight norm, quantisation, hooks."""

from __future__ import annotations

import io
import warnings

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jvp, vmap
from torch.nn.utils import parametrizations, prune
from torch.utils import _pytree as pytree

from tide.errors import InputError
from tide.nn import WilsonCowan, violations
from tide.types import Traced

CORES = [{}, {"kind": "ctm"}, {"kind": "lstm"}]


def images(batch: int = 3) -> torch.Tensor:
    return torch.rand(batch, 1, 9, 9, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def weights_of(model):
    return {name: p.detach() for name, p in model.named_parameters()}


@pytest.mark.parametrize("core", CORES[:2])
def test_gradients_by_torch_func_are_those_of_backward_whole_and_per_image(tiny_model, core):
    model, x = tiny_model(**core).eval(), images()

    def loss(weights, x):
        return functional_call(model, weights, (x,)).logits[..., -1].sin().sum()

    loss(dict(model.named_parameters()), x).backward()
    whole = grad(loss)(weights_of(model), x)
    each = vmap(grad(loss), (None, 0))(weights_of(model), x[:, None])
    for name, p in model.named_parameters():
        expected = torch.zeros_like(p) if p.grad is None else p.grad
        torch.testing.assert_close(whole[name], expected, rtol=1e-9, atol=1e-11, msg=name)
        torch.testing.assert_close(each[name].sum(0), expected, rtol=1e-9, atol=1e-11, msg=name)


def test_images_are_mapped_over_and_a_model_is_differentiated_forward(tiny_model):
    model, x = tiny_model().eval(), images()
    with torch.no_grad():
        torch.testing.assert_close(vmap(lambda image: model(image[None]).logits[0])(x), model(x).logits)
    x.requires_grad_()
    (slope,) = torch.autograd.grad(model(x).ei_ratio.sum(), x)
    _, forward = jvp(lambda x: model(x).ei_ratio.sum(), (x.detach(),), (torch.ones_like(x),))
    torch.testing.assert_close(forward, slope.sum())


@pytest.mark.parametrize(
    ("core", "call"),
    [
        ({}, lambda model, x: grad(lambda x: model.train()(x).logits.sum())(x)),
        ({"kind": "lstm"}, lambda model, x: vmap(lambda image: model(image[None]).logits)(x)),
    ],
    ids=["statistics of batches", "an LSTM"],
)
def test_what_torch_func_does_not_do_is_one_line(tiny_model, core, call):
    model = tiny_model(**core).eval()
    with pytest.raises(InputError, match=r"torch\.func must be able to transform the model, got: .*model\.eval\(\)"):
        call(model, images())
    with pytest.raises(InputError, match=r"predict must be called outside torch\.func"):
        vmap(lambda image: model.predict(image[None]).label)(images())


@pytest.mark.parametrize("core", CORES)
def test_outputs_are_pytrees_and_a_model_is_exported_for_any_batch(tiny_model, core):
    model, x = tiny_model(**core).eval(), images()
    out = model(x, record="latent" if not core else ())
    assert len(pytree.tree_leaves(out)) > 3
    again = pytree.tree_map(lambda leaf: leaf * 2, out)
    assert (type(again), again.answers_from) == (type(out), out.answers_from)
    assert torch.equal(again.logits, 2 * out.logits)
    assert torch.equal(pytree.tree_leaves(model.predict(x))[0], model.predict(x).label)

    program = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=2)},))
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    found = torch.export.load(file).module()(images(5))
    expected = model(images(5))
    torch.testing.assert_close(found.logits, expected.logits)
    torch.testing.assert_close(pytree.tree_leaves(found.state), pytree.tree_leaves(expected.state))


@pytest.mark.filterwarnings("ignore")  # tracing is deprecated, and says that numbers become constants
def test_a_traced_model_answers_as_the_model(tiny_model):
    model, x = tiny_model().eval(), images()
    traced = torch.jit.trace(model, x)
    found, expected = Traced(*traced(images(3).flip(0))), model(images(3).flip(0))
    torch.testing.assert_close((found.logits, found.certainty), (expected.logits, expected.certainty))


@pytest.mark.parametrize("core", CORES)
def test_pruned_weights_stay_zero_and_bounded_in_training(tiny_model, core):
    model = tiny_model(**core).train()
    for part in [*model.modules()]:
        for name, p in [*part.named_parameters(recurse=False)]:
            if p.dim() > 1 and not isinstance(part, nn.LSTM):
                prune.random_unstructured(part, name, 0.5)
    optimizer = torch.optim.SGD(model.parameters(), 1.0)
    for _ in range(2):
        model(images()).logits.square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        model.project_()
    buffers = [(part, name) for part in model.modules() for name, _ in part.named_buffers(recurse=False)]
    masks = [(part, name.removesuffix("_mask")) for part, name in buffers if name.endswith("_mask")]
    assert len(masks) > 5
    for part, name in masks:
        value, source, mask = (getattr(part, f"{name}{end}") for end in ("", "_orig", "_mask"))
        assert torch.equal(value, source * mask)
    assert violations(model) == []
    if not core:  # a weight that leaves its bound is projected through what it is computed from
        with torch.no_grad():
            model.cell.wilson_cowan.w_ee_orig.sub_(1.0)
        model.project_()
        assert violations(model) == []
        assert (model.cell.wilson_cowan.w_ee_orig >= 0).all()


def test_parts_that_are_only_read_honour_parametrizations_weight_norm_and_quantisation(tiny_model):
    x, inputs = images(), torch.rand(3, 6, dtype=torch.float64)
    for change in (parametrizations.weight_norm, nn.utils.weight_norm):
        core = WilsonCowan(20, 6).double()
        before = core(core.initial(3), inputs).rates
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            change(core.input)
        torch.testing.assert_close(core(core.initial(3), inputs).rates, before)
        magnitude = [p for name, p in core.input.named_parameters() if p.shape == (20, 1)]
        with torch.no_grad():
            magnitude[0].mul_(3.0)
        assert not torch.allclose(core(core.initial(3), inputs).drive, before)
        core(core.initial(3), inputs).rates.sum().backward()
        assert magnitude[0].grad is not None
    model = tiny_model(torch.float32).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        small = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, torch.qint8)
    difference = (small(x.float()).logits - model(x.float()).logits).abs().max()
    assert 0 < difference < 0.1


def test_a_hook_on_weights_that_are_only_read_is_told_that_it_sees_nothing(tiny_model):
    model = tiny_model().eval()
    model.cell.wilson_cowan.input.register_forward_hook(lambda *_: None)
    with pytest.warns(UserWarning, match="a hook on a Linear sees nothing, since only its weights are read"):
        model(images())


def test_a_hook_on_the_head_sees_every_row_once(tiny_model):
    model, seen = tiny_model().train(), []
    model.cell.head.layers[4].register_forward_hook(lambda _, inputs, out: seen.append(len(out)))
    model(images()).logits[..., -1].sum().backward()
    assert seen == [3]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (images().to_sparse(), "the input must be a dense tensor, got sparse_coo; call to_dense"),
        (images().to("meta"), "the input must be on cpu as the model is, got meta"),
    ],
)
def test_sparse_tensors_and_tensors_elsewhere_are_refused_in_one_line(tiny_model, given, told):
    for call in (tiny_model().eval(), tiny_model().predict):
        with pytest.raises(InputError, match=told):
            call(given)

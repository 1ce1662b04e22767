"""Thinking on from a state; recomputation; models without values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import tide
from tide.config import LossConfig
from tide.errors import InputError
from tide.losses import objective, task_loss
from tide.models.thinker import Thinker

Make = Callable[..., Thinker]
PRESETS = ("digits", "anytime.digits", "ctm.digits", "lstm.digits", "sort.8", "qamnist.small")


@pytest.fixture(params=["eager", "native"])
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TIDE_NATIVE", "0" if request.param == "eager" else "")
    return str(request.param)


def build(name: str, *, training: bool = False) -> Thinker:
    """Return a model without dropout and with fixed statistics: the two would differ between one pass and two."""
    model = tide.create(name, core={"dropout": 0.0} if "." in name and name[0] in "cl" else {})
    model.train(training)
    for module in model.modules():
        if isinstance(module, nn.Dropout | nn.BatchNorm2d):
            module.eval()
    return model


def inputs(model: Thinker, batch: int = 5) -> Any:
    example = model.kind.example(batch)
    generator = torch.Generator().manual_seed(0)
    return torch.rand(example.shape, generator=generator) if isinstance(example, Tensor) else example


def leaves(state: Any) -> Iterator[Tensor]:
    return (leaf for leaf in pytree.tree_leaves(state) if leaf is not None)


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("name", [name for name in PRESETS if name != "qamnist.small"])
def test_ten_ticks_and_then_fifteen_are_twenty_five(name: str, training: bool, loop: str) -> None:
    model = build(name, training=training)
    x = inputs(model)
    whole, first = model(x, ticks=25), model(x, ticks=10)
    second = model(x, ticks=15, state=first.state)
    assert torch.equal(torch.cat((first.logits, second.logits), -1), whole.logits)
    for mine, theirs in zip(leaves(second.state), leaves(whole.state), strict=True):
        assert torch.equal(mine, theirs)


def test_predictions_think_on_too_and_halting_ends_within_the_ticks_left(loop: str) -> None:
    model = build("digits")
    x = inputs(model)
    first = model.predict(x, ticks=4)
    second, out = model.predict(x, ticks=6, state=first.state), model(x, ticks=10)
    tick = out.certainty[:, 4:].argmax(1)
    torch.testing.assert_close(second.certainty, out.certainty[:, 4:].amax(1), rtol=1e-6, atol=1e-7)
    assert torch.equal(second.label, out.logits[..., 4:].argmax(1).gather(1, tick[:, None])[:, 0])
    halted = model.predict(x, ticks=6, state=first.state, halt=0.2)
    assert halted.state is None
    assert bool((halted.ticks <= 6).all())


def test_the_gradient_crosses_to_the_first_thought_unless_it_is_detached() -> None:
    model = build("digits", training=True)
    x = inputs(model)
    start = model.cell.wilson_cowan.start
    state = model(x, ticks=2).state
    (through,) = torch.autograd.grad(model(x, ticks=2, state=state).logits.square().sum(), start)
    assert bool((through != 0).any())
    cut = model(x, ticks=2, state=state.detach()).logits.square().sum()
    assert torch.autograd.grad(cut, start, allow_unused=True) == (None,)


@pytest.mark.parametrize("name", PRESETS)
def test_a_sample_that_is_restarted_alone_thinks_as_from_the_start_and_the_others_go_on(name: str, loop: str) -> None:
    model = build(name)
    x = inputs(model)
    later = model(x, ticks=3).state
    done = torch.tensor([True, False, False, True, False])
    mixed = later.where(done, model.cell.initial(5))
    out, fresh, on = model(x, ticks=4, state=mixed), model(x, ticks=4), model(x, ticks=4, state=later)
    assert model.tick_loop(state=mixed).library is None
    exact = {"rtol": 0, "atol": 0} if loop == "eager" else {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(out.logits[done], fresh.logits[done], **exact)
    torch.testing.assert_close(out.logits[~done], on.logits[~done], **exact)


def test_selected_samples_think_on_alone() -> None:
    model = build("digits")
    x = inputs(model)
    state, index = model(x, ticks=3).state, torch.tensor([4, 1])
    alone = model(x[index], ticks=4, state=state.rows(index))
    torch.testing.assert_close(alone.logits, model(x, ticks=4, state=state).logits[index], rtol=1e-5, atol=1e-6)


def test_a_state_of_another_model_or_batch_is_refused_in_one_line() -> None:
    model, other = build("digits"), build("ctm.digits")
    x = inputs(model)
    with pytest.raises(InputError, match="state must be a TideState of this model, got a CTMState"):
        model(x, state=other(x).state)
    with pytest.raises(InputError, match="state must hold 5 samples, as many as the input, got 2"):
        model(x, state=model(x[:2]).state)
    with pytest.raises(InputError, match="state must be a TideState of this model, got a tuple"):
        model.predict(x, state=(1, 2))


CUTS = [(0, 1), (0, 3), (0, 4), (0, 9), (2, 3), (3, 2)]  # (tbptt, recompute) at 7 ticks


def gradients(model, images, **options):
    torch.manual_seed(5)  # dropout, where there is one, must fall alike
    model.zero_grad()
    out = model(images, record="attention", **options)
    task_loss(out.logits, out.certainty, torch.tensor([0, 1, 2])).backward()
    return out, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", ["tide", "ctm", "lstm"])
@pytest.mark.parametrize(("tbptt", "recompute"), CUTS)
def test_outputs_and_gradients_are_those_of_kept_ticks(tiny_model, kind, tbptt, recompute):
    dropout = {} if kind == "tide" else {"dropout": 0.3}
    model = tiny_model(kind=kind, **dropout).train()
    images = torch.rand(3, 1, 9, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    kept, expected = gradients(model, images, ticks=7, tbptt=tbptt)
    again, found = gradients(model, images, ticks=7, tbptt=tbptt, recompute=recompute)
    torch.testing.assert_close(again.logits, kept.logits, rtol=0, atol=0)
    torch.testing.assert_close(again.trace["attention"], kept.trace["attention"], rtol=0, atol=0)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-9, atol=1e-12, msg=name)


def test_fewer_tensors_are_saved_for_the_backward_pass(tiny_model):
    model = tiny_model().train()
    images = torch.rand(3, 1, 9, 9, dtype=torch.float64)

    def saved(recompute: int) -> int:
        held: dict[int, int] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            out = model(images, ticks=24, recompute=recompute)
        assert out.logits.requires_grad
        return sum(held.values())

    assert saved(6) < 0.5 * saved(0)


@pytest.mark.parametrize(
    ("core", "options"),
    [
        ({"lateral": {"tolerance": 1e-4}}, {}),
        ({"memory": {"scope": "batch"}, "head": {"dropout": 0.1}, "lateral": {"tolerance": 1e-4}}, {"tbptt": 2}),
        ({"kind": "ctm"}, {"recompute": 2}),
        ({"kind": "lstm"}, {}),
    ],
    ids=["tide", "tide_batch", "ctm", "lstm"],
)
def test_training_and_evaluation_read_no_value_back(tiny_model, core, options):
    model = tiny_model(torch.float32, **core).to("meta").train()
    images, labels = torch.empty(3, 1, 9, 9, device="meta"), torch.empty(3, dtype=torch.long, device="meta")
    out = model(images, record=("attention",), **options)
    objective(out, labels, model.cell.blocks(), LossConfig(), curriculum=1.0).total.backward()
    assert all(p.grad is not None for p in model.cell.head.parameters())
    with torch.no_grad():
        assert model.eval()(images).certainty.shape == (3, model.config.core.ticks)

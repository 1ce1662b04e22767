"""The training step: acceptance and rejection, bounds, accumulation, clipping."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tide.config import ClipConfig, Config
from tide.config.io import from_dict
from tide.data import Splits, to_float
from tide.losses import LossTerms, objective
from tide.models.thinker import Thinker
from tide.nn.constraints import violations
from tide.train.step import NormHistory, Trainer, clip_gradients_, component_parameters, gradient_norm, make_optimizer
from tide.types import ThoughtOutput


def batch(digits: Splits, first: int, size: int = 16) -> tuple[Tensor, Tensor]:
    return to_float(digits.train.images[first : first + size]), digits.train.labels[first : first + size]


def make(config: Config) -> Trainer:
    torch.manual_seed(0)
    model = Thinker(config.model)
    return Trainer(model, make_optimizer(model, config.train), config)


def everything(trainer: Trainer) -> dict[str, Any]:
    """Return all that a rejected step must leave as it was."""
    return copy.deepcopy({"model": trainer.model.state_dict(), "optimizer": trainer.optimizer.state_dict()})


def assert_same(a: Any, b: Any) -> None:
    if isinstance(a, Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list):
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b


def test_bounds_hold_over_80_steps_with_a_rejected_one(
    tiny: Config, digits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a high learning rate every bound is pressed against; a NaN image in the middle moves nothing."""
    config = replace(tiny, train=replace(tiny.train, steps=80, learning_rate=0.02))
    trainer = make(config)
    touched = False
    for step in range(80):
        images, labels = batch(digits, 7 * step % 1400)
        if step == 40:
            before = everything(trainer)
            with monkeypatch.context() as unchecked:
                unchecked.setattr("tide.models.inputs.Images.check", lambda self, images: None)
                result = trainer.step(step, [(torch.full_like(images, torch.nan), labels)])
            assert not result.accepted
            for group in before["optimizer"]["param_groups"]:
                group["lr"] = result.learning_rate  # the schedule goes on
            assert_same(before, everything(trainer))
        else:
            assert trainer.step(step, [(images, labels)]).accepted
        assert violations(trainer.model) == []
        touched |= bool((trainer.model.cell.blocks().ee == 0).any())
    assert touched  # the projection had work to do


def test_an_infinite_gradient_rejects_the_step(tiny: Config, digits: Splits) -> None:
    trainer = make(tiny)
    trainer.step(0, [batch(digits, 0)])
    before = everything(trainer)
    hook = trainer.model.cell.blocks().ie.register_hook(lambda grad: grad * torch.inf)
    result = trainer.step(1, [batch(digits, 16)])
    hook.remove()
    assert result.terms.total.isfinite()
    assert not result.accepted
    before["optimizer"]["param_groups"] = trainer.optimizer.state_dict()["param_groups"]
    assert_same(before, everything(trainer))


def test_a_nan_at_a_tick_that_the_loss_does_not_read_rejects_the_step(
    tiny: Config, digits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No gradient and no term of the loss shows it: this loss reads the last tick."""

    def last_tick(out: ThoughtOutput, labels: Tensor, *_: Any, **__: Any) -> LossTerms:
        task = torch.nn.functional.cross_entropy(out.logits[..., -1], labels)
        return LossTerms(task, {"task": task})

    def spoil(module: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        first = inputs[0].clone()
        first[3, 1] = torch.nan
        return (first,)

    monkeypatch.setattr("tide.train.step.objective", last_tick)
    trainer = make(tiny)
    assert trainer.step(0, [batch(digits, 0)]).accepted
    before = everything(trainer)
    hook = trainer.model.cell.head.register_forward_pre_hook(spoil)
    result = trainer.step(1, [batch(digits, 16)])
    hook.remove()
    assert result.terms.total.isfinite()
    assert all(p.grad.isfinite().all() for p in trainer.model.parameters() if p.grad is not None)
    assert not result.accepted
    before["optimizer"]["param_groups"] = trainer.optimizer.state_dict()["param_groups"]
    assert_same(before, everything(trainer))


def test_memory_moves_once_per_accepted_step(tiny: Config, digits: Splits) -> None:
    config = replace(tiny, train=replace(tiny.train, accumulation=2))
    trainer = make(config)
    finals: list[Tensor] = []
    trainer.model.register_forward_hook(lambda module, inputs, out: finals.append(out.dynamics.recall.memory.mean(0)))
    trainer.step(0, [batch(digits, 0), batch(digits, 16)])
    buffer = trainer.model.state_dict()["cell.memory.memory"]
    expected = config.core.memory.buffer_rate * (finals[0] + finals[1]) / 2
    torch.testing.assert_close(buffer, expected)
    assert buffer.abs().max() > 0


def test_accumulated_gradients_are_the_mean_over_micro_batches(tiny: Config, digits: Splits) -> None:
    config = replace(
        from_dict(Config, {"core": {"head": {"dropout": 0.0}}}, base=tiny),
        train=replace(tiny.train, accumulation=2, clip=ClipConfig(total=None)),
    )
    trainer = make(config)
    model = copy.deepcopy(trainer.model).train()
    micro = [batch(digits, 0), batch(digits, 16)]
    losses = [objective(model(x), y, model.cell.blocks(), config.loss, curriculum=0.0).total for x, y in micro]
    (sum(losses) / 2).backward()
    trainer.step(0, micro)
    for (name, ours), theirs in zip(trainer.model.named_parameters(), model.parameters(), strict=True):
        assert theirs.grad is not None
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-7, msg=name)


def test_clipping_by_component_then_by_global_norm(tiny: Config) -> None:
    model = Thinker(tiny.model)
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    norms = {name: gradient_norm(members) for name, members in component_parameters(model).items()}
    before = gradient_norm(list(model.parameters()))
    clip_gradients_(model, ClipConfig(total=None, dynamics=0.5, head=1e9), before, NormHistory())
    after = {name: gradient_norm(members) for name, members in component_parameters(model).items()}
    assert after["dynamics"] == pytest.approx(0.5, rel=1e-5)
    assert after["head"] == norms["head"]
    assert after["backbone"] == norms["backbone"]
    assert before == pytest.approx(float(sum(n.square() for n in norms.values())) ** 0.5, rel=1e-6)
    clip_gradients_(model, ClipConfig(total=1.0, dynamics=0.4), before, NormHistory())
    assert gradient_norm(list(model.parameters())) == pytest.approx(1.0, rel=1e-5)


def test_gradient_norm_does_not_overflow(tiny: Config) -> None:
    parameter = torch.nn.Parameter(torch.zeros(4))
    parameter.grad = torch.full((4,), 1e30)
    assert gradient_norm([parameter]) == pytest.approx(2e30)

"""The backward pass that leaves out rows without a gradient, against the usual one, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tide.models.cell import Readout
from tide.models.heads import skip_zero_rows

BATCH, TICKS = 3, 6


def observed() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    latent = torch.randn(BATCH, TICKS, 12, generator=generator, dtype=torch.float64)
    ratio = 4 + torch.randn(BATCH, TICKS, generator=generator, dtype=torch.float64)
    return {"latent": latent.requires_grad_(), "ei_ratio": ratio.requires_grad_()}


def one_tick_each(reading: Readout) -> Tensor:
    ticks = torch.tensor([2, 0, 5])[:, None, None].expand(-1, reading.logits.shape[1], -1)
    return reading.logits.gather(2, ticks).sin().sum()


def every_tick(reading: Readout) -> Tensor:
    return reading.logits.sin().mean()


def no_tick(reading: Readout) -> Tensor:
    return 0 * reading.logits.sum()


def tick_and_memory(reading: Readout) -> Tensor:
    """What the memory did at one tick counts, too, where there is one."""
    return one_tick_each(reading) + sum(value[0, 1].sum() for value in reading.observed.values())


def gradients(cell, loss, passes: int = 1) -> dict[str, Tensor | None]:
    """Gradients of inputs and parameters after so many backward passes through one graph."""
    cell.zero_grad()
    torch.manual_seed(1)  # the dropout's
    inputs = observed()
    value = loss(cell.readout(inputs))
    for _ in range(passes):
        value.backward(retain_graph=True)
    return {name: x.grad for name, x in (*inputs.items(), *cell.named_parameters())}


@pytest.fixture
def usual(monkeypatch):
    """Return a switch that lets every gradient take the usual way."""

    def switch() -> None:
        for module in ("tide.models.heads", "tide.models.tide"):
            monkeypatch.setattr(f"{module}.skip_zero_rows", lambda value, *_: value)

    return switch


@pytest.mark.parametrize("loss", [one_tick_each, every_tick, no_tick, tick_and_memory])
@pytest.mark.parametrize(
    ("core", "frozen"),
    [
        ({}, ()),
        ({"head": {"dropout": 0.4}}, ("memory.project", "head.layers.4.bias")),
        ({"memory": {"scope": "batch"}}, ()),
        ({"memory": {"enabled": False}}, ("head",)),
    ],
    ids=["", "dropout, frozen", "one memory", "no memory"],
)
def test_gradients_are_those_of_the_usual_backward_pass(tiny_model, usual, loss, core, frozen):
    cell = tiny_model(**core).cell.train()
    for name, parameter in cell.named_parameters():
        parameter.requires_grad_(not name.startswith(frozen) if frozen else True)
    found = gradients(cell, loss)
    usual()
    expected = gradients(cell, loss)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-11, atol=1e-14, msg=name)


def test_a_graph_used_twice_gives_twice_the_gradient_and_a_differentiable_one(tiny_model, usual):
    cell = tiny_model().cell.train()
    found = gradients(cell, one_tick_each, passes=2)
    for name, gradient in gradients(cell, one_tick_each).items():
        if gradient is not None:
            torch.testing.assert_close(found[name], 2 * gradient, rtol=1e-12, atol=1e-14, msg=name)

    def slope() -> tuple[Tensor | None, ...]:
        inputs = observed()
        first = torch.autograd.grad(one_tick_each(cell.readout(inputs)), [*inputs.values()], create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in first), [*inputs.values(), *cell.head.parameters()])

    second = slope()
    usual()
    torch.testing.assert_close(second, slope(), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize(("reached", "computed"), [(0, 0), (1, 1), (3, 3), (4, None), (6, None)])
def test_only_the_rows_reached_are_computed_again_and_none_where_most_are(reached, computed):
    seen = []

    def function(x: Tensor) -> Tensor:
        seen.append(len(x))
        return x.sin()

    x = torch.rand(2, 3, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.zeros(6, 1, dtype=torch.float64)
    weight[:reached] = 2.0
    (gradient,) = torch.autograd.grad(
        skip_zero_rows(x.sin(), function, (x,), ()), x, weight.view(2, 3, 1).expand(x.shape)
    )
    torch.testing.assert_close(gradient, weight.view(2, 3, 1) * x.cos(), rtol=1e-14, atol=0)
    assert seen == ([] if computed is None else [computed])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("inside", [False, True], ids=["backward outside", "backward inside"])
def test_under_autocast_rows_are_computed_again_in_the_types_of_the_forward_pass(tiny_model, usual, dtype, inside):
    """One position of one tick is read: the backward pass is called where it usually is, and under autocast, too."""
    cell = tiny_model(torch.float32).cell.train()

    def found() -> dict[str, Tensor | None]:
        cell.zero_grad()
        torch.manual_seed(1)
        inputs = {name: x.detach().float().requires_grad_() for name, x in observed().items()}
        with torch.autocast("cpu", dtype):
            value = one_tick_each(cell.readout(inputs)).float()
            if inside:
                value.backward()
        if not inside:
            value.backward()
        return {name: x.grad for name, x in (*inputs.items(), *cell.named_parameters())}

    ours = found()
    usual()
    for name, gradient in found().items():
        torch.testing.assert_close(ours[name], gradient, rtol=0.02, atol=1e-3, msg=name)


def test_a_backward_pass_under_autocast_leaves_the_types_of_a_forward_pass_without(tiny_model):
    cell = tiny_model(torch.float32).cell.train()
    slopes = []
    for enabled in (False, True):
        torch.manual_seed(1)
        value = one_tick_each(cell.readout({name: x.detach().float() for name, x in observed().items()}))
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            slopes.append(torch.autograd.grad(value, [cell.head.layers[1].weight, cell.memory.project[0].weight]))
    torch.testing.assert_close(*slopes, rtol=0, atol=0)

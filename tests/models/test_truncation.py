"""Truncated back-propagation through time: the gradient of every kind of model crosses at most ``tbptt`` ticks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tide.models.thinker import Thinker
from tide.models.ticks import Collector, Moment, begin

KINDS = ("tide", "ctm", "lstm")
TICKS = 5
MOVING = {
    "tide": {"rates", "history", "synchrony.products", "synchrony.normalizer", "latent"},
    "ctm": {
        "post_activations",
        "history",
        *(f"{use}.{part}" for use in ("action", "out") for part in ("products", "normalizer")),
    },
    "lstm": {"hidden", "memory"},
}


def images() -> torch.Tensor:
    return torch.rand(2, 1, 9, 9, generator=torch.Generator().manual_seed(11), dtype=torch.float64)


def changed(state: Any, change: Callable[[str, torch.Tensor], torch.Tensor]) -> Any:
    """Apply ``change`` to every tensor that a tick hands on, by its dotted name."""

    def over(value: Any, name: str) -> Any:
        if isinstance(value, torch.Tensor):
            return change(name, value)
        if value is None:
            return None
        return value.replace(**{field: over(part, f"{name}.{field}") for field, part in vars(value).items()})

    return state.replace(**{name: over(v, name) for name, v in vars(state).items() if name != "carry"})


def gradients(value: torch.Tensor, inputs: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    return torch.autograd.grad(value, inputs, retain_graph=True, materialize_grads=True)


def cut_by_hand(model: Thinker, x: torch.Tensor, window: int) -> torch.Tensor:
    """Logits of windows joined by hand: each starts from numbers that were never part of a graph."""
    cell, collector = model.cell, Collector(model.cell, ())
    context, state = begin(cell, model.backbone((x - 0.5) / 0.25))
    for tick in range(TICKS):
        if tick and tick % window == 0:
            state = changed(state, lambda _, value: torch.from_numpy(value.detach().numpy().copy()))
        state, features = cell.step(context, state)
        collector.observe(Moment(context, state), features)
    return cell.readout(collector.stacked()).logits


@pytest.mark.parametrize("window", [1, 2, 3, TICKS])
@pytest.mark.parametrize("kind", KINDS)
def test_logits_and_all_gradients_equal_windows_joined_by_hand(tiny_model, kind, window):
    model, x = tiny_model(kind=kind, ticks=TICKS).eval(), images()
    parameters = list(model.parameters())
    truncated, by_hand = model(x, tbptt=window).logits, cut_by_hand(model, x, window)
    torch.testing.assert_close(truncated, by_hand, rtol=1e-12, atol=1e-12)
    # Weighted, so that no two ticks or classes cancel.
    weights = torch.randn(by_hand.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found, expected = (gradients((weights * logits).sum(), parameters) for logits in (truncated, by_hand))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
    whole = gradients((weights * model(x).logits).sum(), parameters)
    same = all(torch.allclose(a, b, rtol=1e-9, atol=1e-11) for a, b in zip(found, whole, strict=True))
    assert same == (window == TICKS)


@pytest.mark.parametrize("window", [1, 2, 3, 0])
@pytest.mark.parametrize("kind", KINDS)
def test_every_part_of_the_state_reaches_the_answers_of_its_own_window_and_of_no_later_one(tiny_model, kind, window):
    # Softplus: through ReLU a neuron that happens to be silent would hide a path.
    model = tiny_model(kind=kind, ticks=TICKS, **{"activation": "softplus"} if kind == "tide" else {}).eval()
    nudges: list[dict[str, torch.Tensor]] = []

    def step(context: Any, state: Any) -> Any:
        nudges.append({})

        def nudged(name: str, value: torch.Tensor) -> torch.Tensor:
            nudges[-1][name] = torch.zeros_like(value, requires_grad=True)
            return value + nudges[-1][name]

        return model.cell.step(context, changed(state, nudged))

    model.compiled_step = step  # the loop's own cuts come before it
    logits = model(images(), tbptt=window).logits
    assert all(set(here) == MOVING[kind] for here in nudges)
    for after in range(TICKS):
        slopes = gradients(logits[:, :, after].square().sum(), [nudge for tick in nudges for nudge in tick.values()])
        flat = iter(slopes)
        for before, here in enumerate(nudges):
            joined = before <= after and (not window or before // window == after // window)
            for name in here:
                assert bool((next(flat) != 0).any()) == joined, (name, before, after)


@pytest.mark.parametrize("kind", KINDS)
def test_start_states_learn_from_the_first_window_only(tiny_model, kind):
    model = tiny_model(kind=kind, ticks=TICKS).eval()
    starts = [p for name, p in model.named_parameters() if name.rpartition(".")[2].startswith("start")]
    assert len(starts) == (1 if kind == "tide" else 2)
    logits = model(images(), tbptt=2).logits
    for tick in range(TICKS):
        reached = [bool((slope != 0).any()) for slope in gradients(logits[:, :, tick].square().sum(), starts)]
        assert reached == [tick < 2] * len(starts)

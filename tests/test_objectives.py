"""The objectives against golden losses of the reference (tests/golden/README.md) and slow, obvious versions."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tide.config import Config, LossConfig
from tide.config.base import builder
from tide.config.io import from_dict
from tide.errors import ConfigError
from tide.losses import (
    counted,
    cross_entropies,
    dual_losses,
    list_loss,
    route_losses,
    second_tick,
    task_loss,
    two_point,
)
from tide.models.heads import certainty, emitted

GOLDEN = Path(__file__).parent / "golden" / "tasks" / "losses.npz"


def case(name: str) -> dict[str, Any]:
    """Return the arrays of one case."""
    with np.load(GOLDEN) as file:
        return {key.partition("/")[2]: file[key] for key in file.files if key.startswith(f"{name}/")}


def whole(logits: Tensor, sure: Tensor, targets: Tensor) -> Tensor:
    return task_loss(logits, sure, targets)


def last(logits: Tensor, sure: Tensor, targets: Tensor) -> Tensor:
    return task_loss(logits, sure, targets, second="last")


def route(lookahead: int, second: str) -> Callable[..., Tensor]:
    return lambda logits, sure, targets: two_point(route_losses(logits, targets, lookahead), sure, second=second)


OF_CASE: dict[str, Callable[..., Tensor]] = {
    "parity_certain": whole,
    "parity_final": last,
    "qamnist_certain": whole,
    "qamnist_final": last,
    "maze_certain_5": route(5, "certain"),
    "maze_certain_1": route(1, "certain"),
    "maze_final": route(5, "last"),
    "sort": lambda logits, sure, targets: list_loss(logits, targets).mean(),
}


@pytest.mark.parametrize("name", OF_CASE)
def test_losses_gradients_ticks_and_counted_moves_are_those_of_the_reference(name):
    golden = case(name)
    # The reference has positions before classes.
    given = torch.from_numpy(golden["predictions"]).requires_grad_()
    logits = given.movedim(-2, 1)
    targets = torch.from_numpy(golden["targets"])
    sure = torch.from_numpy(golden["certainties"])[:, 1] if "certainties" in golden else torch.zeros(0)
    loss = OF_CASE[name](logits, sure, targets)
    loss.backward()
    assert loss.item() == pytest.approx(float(golden["loss"]), rel=1e-5)
    difference = np.linalg.norm(given.grad.numpy() - golden["grad"]) / np.linalg.norm(golden["grad"])
    assert difference < 1e-4
    if "where_most_certain" in golden:
        second = "last" if name.endswith("final") else "certain"
        ticks = logits.shape[-1]
        assert second_tick(sure, second).tolist() == [int(tick) % ticks for tick in golden["where_most_certain"]]
    if "upto_where" in golden:
        lookahead = 1 if name.endswith("_1") else 5
        assert counted(logits, targets, lookahead).tolist() == golden["upto_where"].tolist()


def test_what_is_emitted_is_what_the_reference_decodes():
    golden = case("sort")
    logits, targets = torch.from_numpy(golden["predictions"]), torch.from_numpy(golden["targets"])
    assert emitted(logits, golden["decoded"].shape[1])[:, :, -1].tolist() == golden["decoded"].tolist()
    whole_lists = (emitted(logits, targets.shape[1])[:, :, -1] == targets).all(1).double().mean()
    assert whole_lists.item() == pytest.approx(float(golden["accuracy"]))


def random(*shape: int, seed: int) -> Tensor:
    return 4 * torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 2


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.booleans())
def test_a_route_counts_as_far_as_a_slow_walk_along_it_says(seed, lookahead, mostly_right):
    logits, targets = random(3, 5, 6, 4, seed=seed), (random(3, 6, seed=seed + 1) * 2 + 4).long().clamp(0, 4)
    if mostly_right:
        logits = logits + 2.0 * torch.nn.functional.one_hot(targets, 5).movedim(-1, 1)[..., None]
    wanted, losses = [], torch.zeros(3, 4, dtype=torch.float64)
    for b in range(3):
        best = 0
        for tick in range(4):
            moves = 0
            while moves < 6 and int(logits[b, :, moves, tick].argmax()) == int(targets[b, moves]):
                moves += 1
            best = max(best, moves)
        wanted.append(max(best, 1) - 1 + lookahead)
        length = min(wanted[-1], 6)
        for tick in range(4):
            of_moves = [-logits[b, :, m, tick].log_softmax(0)[targets[b, m]] for m in range(length)]
            losses[b, tick] = sum(of_moves) / length
    assert counted(logits, targets, lookahead).tolist() == wanted
    torch.testing.assert_close(route_losses(logits, targets, lookahead), losses)


def slow_ctc(logits: Tensor, target: list[int]) -> float:
    """−log of the summed probability of all paths that give ``target``, over its length."""
    classes, ticks = logits.shape
    log_p, total = logits.log_softmax(0), 0.0
    for path in product(range(classes), repeat=ticks):
        merged = [symbol for k, symbol in enumerate(path) if k == 0 or symbol != path[k - 1]]
        if [symbol for symbol in merged if symbol != classes - 1] == target:
            total += float(sum(log_p[symbol, tick] for tick, symbol in enumerate(path)).exp())
    return -float(torch.tensor(total, dtype=torch.float64).log()) / len(target)


def test_ctc_sums_over_all_paths_and_is_infinite_for_fewer_ticks_than_symbols():
    logits = random(2, 4, 5, seed=0)
    targets = torch.tensor([[2, 0, 1], [1, 2, 0]])
    expected = sum(slow_ctc(logits[b], targets[b].tolist()) for b in range(2)) / 2
    assert list_loss(logits, targets).mean().item() == pytest.approx(expected)
    assert list_loss(logits[:, :, :2], targets).mean().item() == float("inf")


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(), (1,), (4,), (2, 3)]))
def test_an_answer_of_several_positions_costs_the_mean_over_them(seed, positions):
    logits, targets = random(3, 4, *positions, 5, seed=seed), random(3, *positions, seed=seed).abs().long()
    losses = cross_entropies(logits, targets)
    flat, answers = logits.reshape(3, 4, -1, 5), targets.reshape(3, -1)
    expected = torch.stack([cross_entropies(flat[:, :, k], answers[:, k]) for k in range(answers.shape[1])]).mean(0)
    torch.testing.assert_close(losses, expected)
    if not positions:
        assert torch.equal(losses, expected)


def test_the_last_tick_takes_the_place_of_the_most_certain():
    logits, targets = random(3, 4, 5, seed=1), torch.tensor([0, 1, 2])
    losses, sure = cross_entropies(logits, targets), certainty(logits)
    assert torch.equal(dual_losses(losses, sure, "last"), 0.5 * (losses.amin(1) + losses[:, -1]))
    rising = torch.arange(5.0).expand(3, 5)
    assert torch.equal(task_loss(logits, rising, targets), last(logits, sure, targets))
    assert torch.equal(
        task_loss(logits, sure, targets, 0.25, "last"), 0.75 * last(logits, sure, targets) + 0.25 * losses.mean()
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"loss": {"objective": "route"}},
            r"output.positions must be one number of moves for loss.objective route, got \(\)",
        ),
        ({"loss": {"lookahead": 0}}, "loss.lookahead must be at least 1, got 0"),
        ({"loss": {"second_tick": "first"}}, "loss.second_tick must be one of certain, last, got 'first'"),
        (
            {"backbone": {"kind": "symbols"}},
            "backbone.kind must be one that reads image, got symbols, which reads sequence",
        ),
        ({"input": {"kind": "schedule"}}, "backbone.kind must be one that reads schedule, got hrf, which reads image"),
        (
            {"input": {"kind": "schedule"}, "backbone": {"kind": "questions", "features": 64}},
            "backbone.features must be 128, as wide as the attention, got 64",
        ),
        (
            {"input": {"kind": "sequence", "length": 4, "alphabet": [0, 1]}, "backbone": {"kind": "none"}},
            "backbone.kind must be one that reads sequence, got none, which reads image and numbers",
        ),
    ],
)
def test_settings_that_do_not_fit_each_other_are_refused_in_one_line(change, told):
    with pytest.raises(ConfigError, match=told):
        from_dict(Config, change)


def test_the_settings_choose_the_second_tick_and_how_far_a_route_counts():
    logits, targets = random(3, 5, 6, 4, seed=0), torch.zeros(3, 6, dtype=torch.int64)
    sure = certainty(logits)
    for objective, lookahead, second in (("route", 2, "last"), ("route", 5, "certain"), ("two_point", 5, "last")):
        config = LossConfig(objective=objective, lookahead=lookahead, second_tick=second)
        losses = route_losses(logits, targets, lookahead) if objective == "route" else cross_entropies(logits, targets)
        assert torch.equal(
            builder("objective", objective)(logits, sure, targets, config), dual_losses(losses, sure, second).mean()
        )

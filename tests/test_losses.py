"""The objective of each kind of task and the other terms, against slow versions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
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
from tide.evaluate.answers import read_hedging
from tide.losses import (
    counted,
    cross_entropies,
    dual_losses,
    ei_loss,
    list_loss,
    mean_field_game,
    objective,
    over_ticks,
    residual_game,
    route_losses,
    second_tick,
    spectral_loss,
    sync_loss,
    task_loss,
    two_point,
)
from tide.models.heads import certainty, emitted
from tide.models.thinker import Thinker
from tide.nn.constraints import RecurrentBlocks

N_E, N_I = 7, 3


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def blocks(seed: int = 0, scale: float = 0.3) -> RecurrentBlocks:
    shapes = ((N_E, N_E), (N_E, N_I), (N_I, N_E), (N_I, N_I))
    return RecurrentBlocks(*(scale * random(*shape, seed=seed + k) for k, shape in enumerate(shapes)))


def slow_cross_entropy(logits: Tensor, target: int) -> float:
    largest = max(float(x) for x in logits)
    return largest + math.log(sum(math.exp(float(x) - largest) for x in logits)) - float(logits[target])


def test_task_loss_equals_the_slow_mean_over_two_ticks() -> None:
    logits = 4 * random(5, 3, 6) - 2
    targets = torch.tensor([0, 1, 2, 1, 0])
    total = 0.0
    for b in range(5):
        losses = [slow_cross_entropy(logits[b, :, t], int(targets[b])) for t in range(6)]
        sure = []
        for t in range(6):
            p = [math.exp(-slow_cross_entropy(logits[b, :, t], c)) for c in range(3)]
            sure.append(1 + sum(x * math.log(x) for x in p) / math.log(3))
        total += 0.5 * (min(losses) + losses[sure.index(max(sure))])
    assert task_loss(logits, certainty(logits), targets).item() == pytest.approx(total / 5, rel=1e-12)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_task_loss_lies_between_the_dual_bounds(seed: int) -> None:
    logits = 6 * random(4, 5, 7, seed=seed) - 3
    targets = torch.arange(4)
    losses = cross_entropies(logits, targets)
    value = task_loss(logits, certainty(logits), targets)
    least, most = losses.amin(1), losses.amax(1)
    assert least.mean() <= value + 1e-12
    assert value <= 0.5 * (least + most).mean() + 1e-12


def test_task_loss_is_the_last_tick_where_loss_falls_and_certainty_rises() -> None:
    targets = torch.tensor([2, 0])
    logits = torch.zeros(2, 3, 5, dtype=torch.float64)
    for tick in range(5):
        logits[torch.arange(2), targets, tick] = 1.0 + tick
    sure = certainty(logits)
    assert task_loss(logits, sure, targets) == pytest.approx(cross_entropies(logits, targets)[:, -1].mean().item())

    def premises() -> tuple[float, float]:
        right = logits.argmax(1) == targets[:, None]
        read = read_hedging(cross_entropies(logits, targets), certainty(logits), right)
        return float(read.certainty_never_falls), float(read.loss_never_rises)

    assert premises() == (1.0, 1.0)
    logits[0, :, 3] = 0.0  # one image becomes unsure for one tick: its certainty falls and its loss rises
    assert premises() == (0.5, 0.5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 1))
def test_anytime_is_a_mixture_of_two_ticks_and_all_of_them(seed: int, weight: float) -> None:
    logits, targets = 6 * random(4, 3, 5, seed=seed) - 3, torch.tensor([0, 1, 2, 1])
    losses, sure = cross_entropies(logits, targets), certainty(logits)
    found = task_loss(logits, sure, targets, weight)
    total = 0.0
    for b in range(4):
        of_ticks = [slow_cross_entropy(logits[b, :, t], int(targets[b])) for t in range(5)]
        two = 0.5 * (min(of_ticks) + of_ticks[int(sure[b].argmax())])
        total += (1 - weight) * two + weight * sum(of_ticks) / 5
    assert found.item() == pytest.approx(total / 4, rel=1e-9)
    # Dual losses are at most the mean of extremes; the mean over ticks lies between the least and the greatest.
    assert losses.amin(1).mean() <= found + 1e-12
    assert torch.equal(task_loss(logits, sure, targets), dual_losses(losses, sure).mean())


def test_the_objective_asks_every_tick_where_the_settings_say_so(tiny_model: Callable[..., Thinker]) -> None:
    model, targets = tiny_model().train(), torch.tensor([0, 1, 2])
    out = model(random(3, 1, 9, 9))
    terms = objective(out, targets, model.cell.blocks(), LossConfig(objective="anytime"), curriculum=0.0)
    assert terms.total == task_loss(out.logits, out.certainty, targets, 0.5)
    (gradient,) = torch.autograd.grad(terms.total, out.logits)
    assert bool((gradient.abs().sum(1) > 0).all())  # every tick of every sample
    papers = objective(out, targets, model.cell.blocks(), LossConfig(anytime_weight=0.3), curriculum=0.0)
    assert papers.total == task_loss(out.logits, out.certainty, targets)  # which takes no part of it


def test_ei_and_sync_losses_are_plain_means() -> None:
    ratio, power = 8 * random(3, 4), random(3, 4, seed=1)
    assert ei_loss(ratio, 4.0).item() == pytest.approx(sum((float(r) - 4) ** 2 for r in ratio.flatten()) / 12)
    assert sync_loss(power).item() == pytest.approx(sum(float(p) for p in power.flatten()) / 12)


def slow_mean_field(rates: Tensor, drive: Tensor, w: RecurrentBlocks, epsilon: float, clip: float) -> float:
    def row_mean(matrix: Tensor) -> float:
        return sum(float(x) for row in matrix for x in row) / matrix.shape[0]

    total = 0.0
    for r, u in zip(rates, drive, strict=True):
        e, i = sum(map(float, r[:N_E])) / N_E, sum(map(float, r[N_E:])) / N_I
        u_e, u_i = sum(map(float, u[:N_E])) / N_E, sum(map(float, u[N_E:])) / N_I
        h_e, h_i = 1 - row_mean(w.ee), 1 + row_mean(w.ii)
        d_e = h_e * e + row_mean(w.ei) * i - u_e
        d_i = h_i * i - row_mean(w.ie) * e - u_i
        total += min(d_e**2 / (h_e**2 + epsilon) + d_i**2 / (h_i**2 + epsilon), clip)
    return total / len(rates)


@pytest.mark.parametrize("clip", [10.0, 0.5])
def test_mean_field_game_equals_the_slow_version(clip: float) -> None:
    rates, drive, w = 2 * random(6, N_E + N_I), 2 * random(6, N_E + N_I, seed=9) - 1, blocks()
    value = mean_field_game(rates, drive, w, epsilon=0.1, clip=clip)
    assert value.item() == pytest.approx(slow_mean_field(rates, drive, w, 0.1, clip), rel=1e-12)


def test_mean_field_slopes_are_gradients_of_the_mean_field_energies() -> None:
    """With both players at their best response the residual vanishes; each slope is its energy's derivative."""
    w = blocks(seed=3)
    ee, ei, ie, ii = (float(block.sum(1).mean()) for block in w)
    drive = torch.tensor([[0.7] * N_E + [0.2] * N_I], dtype=torch.float64)
    system = torch.tensor([[1 - ee, ei], [-ie, 1 + ii]], dtype=torch.float64)
    e, i = torch.linalg.solve(system, torch.tensor([0.7, 0.2], dtype=torch.float64))
    rates = torch.cat((e.expand(1, N_E), i.expand(1, N_I)), 1)
    assert mean_field_game(rates, drive, w).item() == pytest.approx(0.0, abs=1e-20)
    shifted = mean_field_game(rates + 0.1, drive, w, epsilon=0.0)
    newton_e, newton_i = 0.1 * (1 - ee + ei) / (1 - ee), 0.1 * (1 + ii - ie) / (1 + ii)
    assert shifted.item() == pytest.approx(newton_e**2 + newton_i**2)


def test_clipping_one_sample_leaves_the_gradient_of_the_others() -> None:
    rates, w = random(2, N_E + N_I), blocks()
    drive = torch.zeros_like(rates)
    drive[0] = 100.0
    rates.requires_grad_()
    mean_field_game(rates, drive, w).backward()
    assert rates.grad is not None
    assert rates.grad[0].abs().max() == 0
    assert rates.grad[1].abs().max() > 0


def test_mean_field_game_is_finite_at_the_boundary_of_concavity() -> None:
    w = blocks()
    w = w._replace(ee=(w.ee / w.ee.sum(1).mean()).requires_grad_())  # mean row sum one: H_E = 0
    value = mean_field_game(random(2, N_E + N_I), random(2, N_E + N_I, seed=1), w)
    value.backward()
    assert value.isfinite()
    assert w.ee.grad is not None
    assert w.ee.grad.isfinite().all()


def test_residual_game_equals_the_slow_version() -> None:
    rates, activation = random(4, N_E + N_I), random(4, N_E + N_I, seed=5)
    total = 0.0
    for first, last, n in ((0, N_E, N_E), (N_E, N_E + N_I, N_I)):
        norms = [math.sqrt(sum(float(x) ** 2 for x in row)) for row in (rates - activation)[:, first:last]]
        total += 0.5 * sum(norms) / len(norms) / math.sqrt(n)
    assert residual_game(rates, activation, N_E).item() == pytest.approx(total, rel=1e-12)


def test_residual_is_the_step_not_taken(tiny_model: Callable[..., Thinker]) -> None:
    """r − φ(h) = (1 − α)(r_old − φ(h)): the game loss measures how far the rates are from rest."""
    model = tiny_model(ticks=1).eval()
    out = model(random(3, 1, 8, 8), record=("rates_e",))
    start = model.cell.get_parameter("wilson_cowan.start")
    core = model.config.core
    alpha = torch.tensor([core.dt / core.tau_e] * core.n_e + [core.dt / core.tau_i] * core.n_i, dtype=torch.float64)
    gap = out.dynamics.rates - out.dynamics.activation
    torch.testing.assert_close(gap, (1 - alpha) * (start - out.dynamics.activation))


def test_spectral_loss_counts_only_the_excess() -> None:
    w = RecurrentBlocks(2 * torch.eye(4), torch.zeros(4, 3), torch.zeros(3, 4), 5 * torch.eye(3))
    assert spectral_loss(w, (3.0, 7.0), 20).item() == 0.0
    assert spectral_loss(w, (1.5, 3.0), 20).item() == pytest.approx(0.25 + 4.0)


def test_objective_weights_the_terms(tiny_model: Callable[..., Thinker]) -> None:
    model = tiny_model()
    out = model(random(3, 1, 8, 8))
    targets = torch.tensor([0, 1, 2])
    config = LossConfig(spectral_weight=0.2, spectral_targets=(0.1, 0.1), reconstruction_weight=0.3)
    for name in ("mean_field", "residual"):
        total, terms = objective(out, targets, model.cell.blocks(), replace(config, game=name), curriculum=0.5)
        expected = (
            terms["task"]
            + 0.5 * (0.1 * terms["ei"] + 0.01 * terms["game"] + 0.01 * terms["sync"])
            + 0.2 * terms["spectral"]
            + 0.3 * terms["reconstruction"]
        )
        torch.testing.assert_close(total, expected)
        assert terms["spectral"] > 0
        assert len(terms) == 6


def test_a_term_with_factor_zero_cannot_poison_the_loss(tiny_model: Callable[..., Thinker]) -> None:
    model = tiny_model()
    out = replace(model(random(2, 1, 8, 8)), ei_ratio=torch.full((2, 4), torch.inf, dtype=torch.float64))
    early = objective(out, torch.tensor([0, 1]), model.cell.blocks(), LossConfig(), curriculum=0.0)
    assert early.total.isfinite()
    assert not early.terms["ei"].isfinite()


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


def random_logits(*shape: int, seed: int) -> Tensor:
    return 4 * torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 2


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.booleans())
def test_a_route_counts_as_far_as_a_slow_walk_along_it_says(seed, lookahead, mostly_right):
    logits, targets = (
        random_logits(3, 5, 6, 4, seed=seed),
        (random_logits(3, 6, seed=seed + 1) * 2 + 4).long().clamp(0, 4),
    )
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
    logits = random_logits(2, 4, 5, seed=0)
    targets = torch.tensor([[2, 0, 1], [1, 2, 0]])
    expected = sum(slow_ctc(logits[b], targets[b].tolist()) for b in range(2)) / 2
    assert list_loss(logits, targets).mean().item() == pytest.approx(expected)
    assert list_loss(logits[:, :, :2], targets).mean().item() == float("inf")


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(), (1,), (4,), (2, 3)]))
def test_an_answer_of_several_positions_costs_the_mean_over_them(seed, positions):
    logits, targets = (
        random_logits(3, 4, *positions, 5, seed=seed),
        random_logits(3, *positions, seed=seed).abs().long(),
    )
    losses = cross_entropies(logits, targets)
    flat, answers = logits.reshape(3, 4, -1, 5), targets.reshape(3, -1)
    expected = torch.stack([cross_entropies(flat[:, :, k], answers[:, k]) for k in range(answers.shape[1])]).mean(0)
    torch.testing.assert_close(losses, expected)
    if not positions:
        assert torch.equal(losses, expected)


def test_the_last_tick_takes_the_place_of_the_most_certain():
    logits, targets = random_logits(3, 4, 5, seed=1), torch.tensor([0, 1, 2])
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
    logits, targets = random_logits(3, 5, 6, 4, seed=0), torch.zeros(3, 6, dtype=torch.int64)
    sure = certainty(logits)
    for name, lookahead, second in (("route", 2, "last"), ("route", 5, "certain"), ("two_point", 5, "last")):
        config = LossConfig(objective=name, lookahead=lookahead, second_tick=second)
        losses = route_losses(logits, targets, lookahead) if name == "route" else cross_entropies(logits, targets)
        assert torch.equal(
            builder("objective", name)(logits, sure, targets, config), dual_losses(losses, sure, second).mean()
        )


@pytest.mark.parametrize("ticks", ["last", "last_certain", "late"])
def test_objectives_that_pay_at_the_end_equal_slow_ones(ticks):
    generator = torch.Generator().manual_seed(4)
    losses = torch.rand(5, 7, generator=generator, dtype=torch.float64)
    certainty = torch.rand(5, 7, generator=generator, dtype=torch.float64)
    expected = 0.0
    for sample, sure in zip(losses.tolist(), certainty.tolist(), strict=True):
        certain = sample[sure.index(max(sure))]
        weighted = sum((t + 1) * loss for t, loss in enumerate(sample)) / sum(range(1, 8))
        expected += {"last": sample[-1], "last_certain": (sample[-1] + certain) / 2, "late": weighted}[ticks] / 5
    assert over_ticks(losses, certainty, ticks, LossConfig()).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("ticks", ["two_point", "anytime", "last", "last_certain", "late"])
def test_a_route_may_be_paid_at_the_same_ticks(ticks):
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(3, 5, 6, 4, generator=generator, dtype=torch.float64)
    targets, certainty = torch.randint(5, (3, 6), generator=generator), torch.rand(3, 4, generator=generator).double()
    config = LossConfig(objective="route", route_ticks=ticks, lookahead=2)
    found = builder("objective", "route")(logits, certainty, targets, config)
    expected = over_ticks(route_losses(logits, targets, 2), certainty, ticks, config)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)

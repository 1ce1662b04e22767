"""The terms of the objective against slow versions, and what theory says about them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tide.config import LossConfig
from tide.evaluate.answers import read_hedging
from tide.losses import (
    cross_entropies,
    dual_losses,
    ei_loss,
    mean_field_game,
    objective,
    residual_game,
    spectral_loss,
    sync_loss,
    task_loss,
)
from tide.models.heads import certainty
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

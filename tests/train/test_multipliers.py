"""The augmented Lagrangian for the game: its term, its moves, and that a resumed run goes on with them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tide.config import LossConfig
from tide.losses import lagrangian_game, mean_field_game, nash_residuals
from tide.train.step import GameMultipliers
from tide.types import GamePenalty


def test_at_the_start_it_is_the_mean_field_game_and_half_the_squares(tiny_model):
    out = tiny_model()(torch.rand(5, 1, 9, 9).double())
    blocks = tiny_model().cell.blocks()
    pair = nash_residuals(out.dynamics.rates, out.dynamics.drive, blocks)
    e, i = (residual.mean() for residual in pair)
    expected = e + i + 0.5 * 3.0 * (e**2 + i**2)
    torch.testing.assert_close(lagrangian_game(e, i, GamePenalty(1.0, 1.0, 3.0)), expected)
    plain = mean_field_game(out.dynamics.rates, out.dynamics.drive, blocks, clip=1e9)
    torch.testing.assert_close(lagrangian_game(e, i, GamePenalty(1.0, 1.0, 0.0)), plain)


def test_multipliers_move_by_penalty_times_mean_residual_and_the_penalty_grows_without_progress():
    multipliers = GameMultipliers.start(LossConfig(game_penalty=0.5))
    for value in (1.0, 3.0):
        assert multipliers.as_penalty() == GamePenalty(1.0, 1.0, 0.5)
        multipliers.observe(torch.tensor(value), torch.tensor(2 * value), every=2)
    assert multipliers.as_penalty() == GamePenalty(1.0 + 0.5 * 2.0, 1.0 + 0.5 * 4.0, 0.5)  # the first has no before
    multipliers.observe(torch.tensor(2.0), torch.tensor(4.0), every=1)  # no progress
    assert multipliers.penalty == 1.0
    multipliers.observe(torch.tensor(1.0), torch.tensor(2.0), every=1)  # halved
    assert multipliers.penalty == 1.0


def test_on_a_quadratic_it_reaches_the_constraint_that_a_fixed_weight_does_not():
    """Minimise (x − 3)² subject to x² = 0: a fixed weight of one ends at x = 1.5."""

    def solve(multipliers: GameMultipliers | None) -> float:
        x = torch.tensor(0.5, requires_grad=True)
        optimizer = torch.optim.SGD([x], lr=1e-3)
        for _ in range(6000):
            residual = x.square()
            zero = torch.zeros(())
            penalty = multipliers.as_penalty() if multipliers is not None else GamePenalty(1.0, 0.0, 0.0)
            loss = (x - 3).square() + lagrangian_game(residual, zero, penalty)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if multipliers is not None:
                multipliers.observe(residual.detach(), zero, every=100)
        return float(x.detach())

    assert solve(None) == pytest.approx(1.5, abs=1e-3)
    assert abs(solve(GameMultipliers(penalty=1.0))) < 0.05


def test_state_round_trip_is_exact():
    multipliers = replace(GameMultipliers(), multiplier_e=2.5, penalty=7.0, sum_e=0.3, steps=4)
    assert GameMultipliers.from_state_dict(multipliers.state_dict()) == multipliers

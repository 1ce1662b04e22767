"""Multipliers of the augmented Lagrangian for the game: the paper's own future work in place of a fixed weight.

The constraint is that both players' mean-field Nash residuals R_E and R_I vanish. The game term is then
Σ_p λ_p R_p + μ/2 R_p², and after every so many accepted steps λ_p ← λ_p + μ R̄_p with the mean R̄_p over them, while μ
grows where the residual has not fallen by a quarter (Hestenes, 1969; Powell, 1969; Bertsekas, 1982).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from tide.config import LossConfig
from tide.types import GamePenalty

GROWTH = 2.0
ENOUGH = 0.75  # of the residual before: above it the penalty grows
MOST = 1e4  # of penalty and multipliers


@dataclass
class GameMultipliers:
    """λ_E, λ_I and μ, and the residuals seen since they last moved."""

    multiplier_e: float = 1.0
    multiplier_i: float = 1.0
    penalty: float = 1.0
    before: float = float("inf")
    sum_e: float = 0.0
    sum_i: float = 0.0
    steps: int = 0

    @classmethod
    def start(cls, config: LossConfig) -> GameMultipliers:
        """λ = 1, with which the term begins as the mean-field game, and the configured μ."""
        return cls(penalty=config.game_penalty)

    def penalty_now(self) -> GamePenalty:
        """Return what the loss needs."""
        return GamePenalty(self.multiplier_e, self.multiplier_i, self.penalty)

    def observe(self, residual_e: Tensor, residual_i: Tensor, every: int) -> None:
        """Take in the residuals of one accepted step; move after ``every`` of them."""
        self.sum_e += float(residual_e)
        self.sum_i += float(residual_i)
        self.steps += 1
        if self.steps < every:
            return
        mean_e, mean_i = self.sum_e / self.steps, self.sum_i / self.steps
        self.multiplier_e = min(MOST, self.multiplier_e + self.penalty * mean_e)
        self.multiplier_i = min(MOST, self.multiplier_i + self.penalty * mean_i)
        if mean_e + mean_i > ENOUGH * self.before:
            self.penalty = min(MOST, GROWTH * self.penalty)
        self.before, self.sum_e, self.sum_i, self.steps = mean_e + mean_i, 0.0, 0.0, 0

    def state_dict(self) -> dict[str, Any]:
        """Return everything, for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> GameMultipliers:
        """Continue from :meth:`state_dict`."""
        return cls(**state)

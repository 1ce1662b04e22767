"""How two models' answers to the same images go together (the paper's Figure A.3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class JointOutcomes(NamedTuple):
    """Shares of images, in [0, 1]: both right, only the first, only the second, none."""

    both: float
    only_first: float
    only_second: float
    none: float


def joint_outcomes(first_right: Tensor, second_right: Tensor) -> JointOutcomes:
    """Return how often two models are right together and alone; both (n,) bool."""
    cases = (
        first_right & second_right,
        first_right & ~second_right,
        ~first_right & second_right,
        ~first_right & ~second_right,
    )
    return JointOutcomes(*(float(case.double().mean()) for case in cases))


def agreement(first: Tensor, second: Tensor) -> float:
    """Return the share of images that two models answer alike, answers (n,) as class indices."""
    return float((first == second).double().mean())


def cohens_kappa(first: Tensor, second: Tensor, classes: int) -> float:
    """Return Cohen's κ of two models' answers (n,): agreement above that of chance, 1 at most (Cohen, 1960).

    Where both give one and the same answer to every image, chance agreement is 1 and κ is undefined: 1 is returned.
    """
    shares = [torch.bincount(answers, minlength=classes).double() / len(answers) for answers in (first, second)]
    chance = float(shares[0] @ shares[1])
    return (agreement(first, second) - chance) / (1 - chance) if chance < 1 else 1.0

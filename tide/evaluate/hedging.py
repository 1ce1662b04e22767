"""Whether ticks hedge: hold different answers, of which one is right, in place of one that grows and stays.

The dual loss asks for the answer at two ticks of each image and nothing of the others (paper, Appendix B.3), so that a
network may learn to be right somewhere. The readings here tell how far it went.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Hedging(NamedTuple):
    """Means over images, each a scalar; accuracies and shares in [0, 1], ticks counted from 1.

    ``oracle_accuracy``: if every image were answered at its tick of least cross-entropy; ``hedging``: that less the
    accuracy at the most certain tick; ``certainty_never_falls`` and ``loss_never_rises``: the share of images where
    they do not over the ticks, the premises under which the dual loss is the loss at the last tick;
    ``answering_tick``: the most certain one.
    """

    accuracy_last_tick: Tensor
    oracle_accuracy: Tensor
    hedging: Tensor
    certainty_never_falls: Tensor
    loss_never_rises: Tensor
    answering_tick: Tensor


def read_hedging(losses: Tensor, certainty: Tensor, correct: Tensor) -> Hedging:
    """Read it from cross-entropy, certainty and whether the answer is right, at every tick, (B, T) each."""

    def at(tick: Tensor) -> Tensor:
        return correct.gather(1, tick[:, None]).double().mean()

    certain = certainty.argmax(1)
    oracle = at(losses.argmin(1))
    return Hedging(
        accuracy_last_tick=correct[:, -1].double().mean(),
        oracle_accuracy=oracle,
        hedging=oracle - at(certain),
        certainty_never_falls=(certainty.diff(dim=1) >= 0).all(1).double().mean(),
        loss_never_rises=(losses.diff(dim=1) <= 0).all(1).double().mean(),
        answering_tick=certain.double().mean() + 1,
    )


def answering_ticks(certainty: Tensor) -> Tensor:
    """Return the share of images whose most certain tick is each of T, (T,) float64, given certainty (B, T)."""
    counts: Tensor = torch.bincount(certainty.argmax(1), minlength=certainty.shape[1])
    return counts.double() / len(certainty)

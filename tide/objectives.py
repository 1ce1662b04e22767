"""What an answer costs: one function for each kind of task. Pure functions of logits, certainty and targets.

Logits are (B, C, *S, T), the certainty (B, T), targets (B, *S): C classes at the positions S after each of T ticks.
Most objectives are first a loss at every tick, (B, T), then a mean over two ticks (Darlow et al., arXiv:2505.05522):
the one of least loss and a second, the most certain one or, for the LSTM baseline, the last.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

SecondTick = Literal["certain", "last"]


def cross_entropies(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of logits (B, C, *S, T) with targets (B, *S) at every tick, the mean over S, (B, T)."""
    losses = at_positions(logits, targets)
    return losses.flatten(1, -2).mean(1) if losses.dim() > 2 else losses


def at_positions(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of logits (B, C, *S, T) with targets (B, *S), (B, *S, T)."""
    every_tick = targets[..., None].expand(*targets.shape, logits.shape[-1])
    return F.cross_entropy(logits, every_tick, reduction="none")


def route_losses(logits: Tensor, targets: Tensor, lookahead: int) -> Tensor:
    """Return the mean cross-entropy over the :func:`counted` moves at every tick, (B, T).

    Logits are (B, C, R, T), targets (B, R).
    """
    counts = torch.arange(targets.shape[1], device=targets.device) < counted(logits, targets, lookahead)[:, None]
    share = counts / counts.sum(1, keepdim=True)
    return (at_positions(logits, targets) * share[:, :, None]).sum(1)


def counted(logits: Tensor, targets: Tensor, lookahead: int) -> Tensor:
    """Return how many moves of each route count, (B,): max(k, 1) − 1 + ``lookahead`` (1 or more), the route permitting.

    k is the number of right moves from the start at the tick where it is greatest. So the reference CTM's curriculum
    grows with what the model has learned; all ticks are asked for the same moves.
    """
    right = logits.argmax(1) == targets[:, :, None]
    prefix = right.long().cumprod(1).sum(1).amax(1)
    return prefix.clamp(min=1) - 1 + lookahead


def second_tick(certainty: Tensor, second: SecondTick = "certain") -> Tensor:
    """Return the tick, (B,), that counts beside the one of least loss: the most ``certain`` or the ``last``."""
    if second == "last":
        return torch.full_like(certainty[:, 0], certainty.shape[1] - 1, dtype=torch.int64)
    return certainty.argmax(1)


def dual_losses(losses: Tensor, certainty: Tensor, second: SecondTick = "certain") -> Tensor:
    """Return ½ (least loss over ticks + loss at the :func:`second_tick`) of each sample (B,), given both (B, T).

    Paper, Appendix B.3; reference CTM, and with the ``last`` tick the reference LSTM.
    """
    at_second = losses.gather(1, second_tick(certainty, second)[:, None]).squeeze(1)
    return 0.5 * (losses.amin(1) + at_second)


def two_point(losses: Tensor, certainty: Tensor, every_tick: float = 0.0, second: SecondTick = "certain") -> Tensor:
    """Mean over samples of (1 − w) · :func:`dual_losses` + w · mean of losses over all ticks, w = ``every_tick``.

    Losses and certainty are (B, T). w = 0 is the paper's objective and the reference CTM's: ticks that are neither the
    best nor the most certain cost nothing, so that different ticks may hold different answers.
    """
    dual = dual_losses(losses, certainty, second).mean()
    return dual if every_tick == 0 else (1 - every_tick) * dual + every_tick * losses.mean()


def task_loss(
    logits: Tensor,
    certainty: Tensor,
    targets: Tensor,
    every_tick: float = 0.0,
    second: SecondTick = "certain",
) -> Tensor:
    """:func:`two_point` of the :func:`cross_entropies`."""
    return two_point(cross_entropies(logits, targets), certainty, every_tick, second)


def ctc_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Connectionist temporal classification over ticks: logits (B, C, T), the last class a blank, targets (B, N).

    The mean over samples, each divided by N, of −log of the probability that the symbols emitted at the ticks are the
    targets, repetitions merged and blanks dropped (Graves et al., 2006). Infinite for fewer ticks than symbols.
    """
    batch, classes, ticks = logits.shape
    lengths = ((batch,), ticks), ((batch,), targets.shape[1])
    of_logits, of_targets = (torch.full(*length, dtype=torch.int64, device=targets.device) for length in lengths)
    log_p = F.log_softmax(logits, dim=1).permute(2, 0, 1)
    return F.ctc_loss(log_p, targets, of_logits, of_targets, blank=classes - 1)

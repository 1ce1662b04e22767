"""What an answer costs: one function for each kind of task. Pure functions of logits, certainty and targets.

Logits are (B, C, *S, T), the certainty (B, T), targets (B, *S): C classes at the positions S after each of T ticks.
Most objectives are first a loss at every tick, (B, T), then a mean over two ticks (Darlow et al., arXiv:2505.05522):
the one of least loss and a second, the most certain one or, for the LSTM baseline, the last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from tide.config import LossConfig, OutputConfig, SecondTick
from tide.heads import at_tick, over_positions

REDUCE_NONE = 0  # of torch's own CTC, which takes lengths that are no tensors


def cross_entropies(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of logits (B, C, *S, T) with targets (B, *S) at every tick, the mean over S, (B, T)."""
    return over_positions(at_positions(logits, targets))


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
    return 0.5 * (losses.amin(1) + at_tick(losses, second_tick(certainty, second)))


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


def list_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the loss of each list (B,) that is emitted over the ticks: CTC, divided by the number of its symbols.

    ``logits`` (B, C, T), whose last class is the blank, and ``targets`` (B, N). Graves et al., Connectionist temporal
    classification, ICML 2006. It is infinite where there are fewer ticks than symbols.
    """
    batch, classes, ticks = logits.shape
    length = targets.shape[1]
    log_p = F.log_softmax(logits, 1).permute(2, 0, 1)
    # Lengths as numbers: none has to be read back from a device, or where tensors have no values.
    losses: Tensor = torch.ctc_loss(log_p, targets, [ticks] * batch, [length] * batch, classes - 1, REDUCE_NONE)
    return losses / length


def tick_losses(logits: Tensor, targets: Tensor, output: OutputConfig) -> Tensor:
    """Return what each tick's answer costs, (B, T); of a list that is emitted over the ticks, what the whole costs."""
    if output.emitted:
        return list_loss(logits, targets)[:, None].expand(-1, logits.shape[-1])
    return cross_entropies(logits, targets)


def _two_point(logits: Tensor, certainty: Tensor, targets: Tensor, config: LossConfig) -> Tensor:
    return task_loss(logits, certainty, targets, second=config.second_tick)


def _anytime(logits: Tensor, certainty: Tensor, targets: Tensor, config: LossConfig) -> Tensor:
    return task_loss(logits, certainty, targets, config.anytime_weight, config.second_tick)


def _route(logits: Tensor, certainty: Tensor, targets: Tensor, config: LossConfig) -> Tensor:
    return two_point(route_losses(logits, targets, config.lookahead), certainty, second=config.second_tick)


def _ctc(logits: Tensor, certainty: Tensor, targets: Tensor, config: LossConfig) -> Tensor:
    return list_loss(logits, targets).mean()


Objective = Callable[[Tensor, Tensor, Tensor, LossConfig], Tensor]
OBJECTIVES: Mapping[str, Objective] = {"two_point": _two_point, "anytime": _anytime, "route": _route, "ctc": _ctc}
"""The task term by the name of its objective, of logits (B, C, *S, T), certainty (B, T) and targets (B, *S)."""

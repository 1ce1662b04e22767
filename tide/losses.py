"""What an answer costs by the kind of task, and all other terms of the objective (equations §4). Pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from tide.config import TERMS, LossConfig, OutputConfig, SecondTick, TicksThatCount, register
from tide.config.base import builder
from tide.models.heads import at_tick, over_positions
from tide.nn.constraints import RecurrentBlocks
from tide.nn.dynamics import perron_estimate
from tide.types import Dynamics, GamePenalty, ThoughtOutput


class LossTerms(NamedTuple):
    """Weighted total, and the unweighted terms that this model has by name, each a scalar."""

    total: Tensor
    terms: Mapping[str, Tensor]


def objective(
    out: ThoughtOutput,
    targets: Tensor,
    blocks: RecurrentBlocks | None,
    config: LossConfig,
    *,
    curriculum: float,
    penalty: GamePenalty | None = None,
) -> LossTerms:
    """Combine the terms: L = λ_task L_task + κ (λ_EI L_EI + λ_game L_game + λ_sync L_sync) + λ_spec L_spec (+ recon.).

    ``penalty`` holds the multipliers of the augmented Lagrangian (at the start where None). A model without excitatory
    and inhibitory populations (CTM, LSTM) has the task term alone. A term whose factor is zero is reported but takes no
    part: zero times an overflow would be NaN.
    """
    measured = _measure(out, targets, blocks, config, penalty)
    terms = {term: measured[term.name] for term in TERMS if term.name in measured}
    total = torch.zeros_like(terms[TERMS[0]])
    for term, value in terms.items():
        factor = config.weight(term) * (curriculum if term.ramped else 1.0)
        if factor > 0:
            total = total + factor * value
    return LossTerms(total, {term.name: value for term, value in terms.items()})


def _measure(
    out: ThoughtOutput, targets: Tensor, blocks: RecurrentBlocks | None, config: LossConfig, penalty: GamePenalty | None
) -> dict[str, Tensor]:
    """Return each term of :data:`tide.config.TERMS` that the model has, unweighted."""
    logits, certainty = out.answers()
    terms: dict[str, Tensor] = {
        "task": builder("objective", config.objective)(logits, certainty, targets, config),
    }
    dynamics = out.dynamics
    if dynamics is None or out.ei_ratio is None or blocks is None:
        return terms
    terms |= {
        "ei": ei_loss(out.ei_ratio, dynamics.ratio_target),
        "game": _game(dynamics, blocks, config, penalty),
        "sync": sync_loss(dynamics.sync_power),
        "spectral": spectral_loss(blocks, config.spectral_targets, config.perron_iterations),
    }
    if dynamics.recall is not None:
        terms["reconstruction"] = dynamics.recall.reconstruction.mean()
    return terms


def _game(dynamics: Dynamics, blocks: RecurrentBlocks, config: LossConfig, penalty: GamePenalty | None) -> Tensor:
    if config.game == "residual":
        return residual_game(dynamics.rates, dynamics.activation, blocks.ee.shape[0])
    epsilon, clip = config.game_epsilon, config.game_clip
    if config.game == "mean_field":
        return mean_field_game(dynamics.rates, dynamics.drive, blocks, epsilon=epsilon, clip=clip)
    residuals = clipped_residuals(dynamics, blocks, config)
    return lagrangian_game(*residuals, penalty or GamePenalty(1.0, 1.0, config.game_penalty))


# The terms besides that of the task (equations §4). Each returns a scalar tensor.


def ei_loss(ratio: Tensor, target: float) -> Tensor:
    """Mean over batch and ticks of (ratio − r*)², ratio (B, T)."""
    return (ratio - target).square().mean()


def sync_loss(sync_power: Tensor) -> Tensor:
    """Mean over batch, ticks and pairs of s², given the mean over pairs (B, T)."""
    return sync_power.mean()


def nash_residuals(
    rates: Tensor, drive: Tensor, blocks: RecurrentBlocks, *, epsilon: float = 0.1
) -> tuple[Tensor, Tensor]:
    """Mean-field Nash residuals of both players at the last tick, (B,) each.

    The squared distance, in Newton steps, of each player from its best response. ``rates`` and ``drive`` are (B, D),
    excitatory neurons first, rates before the lateral inhibition. Both players have dissipation 1. ε keeps the term
    finite where w̄_EE = 1.
    """
    n_e = blocks.ee.shape[0]
    mean_e, mean_i = rates[:, :n_e].mean(1), rates[:, n_e:].mean(1)
    drive_e, drive_i = drive[:, :n_e].mean(1), drive[:, n_e:].mean(1)
    ee, ei, ie, ii = (block.sum(1).mean() for block in blocks)
    slope_e = (1 - ee) * mean_e + ei * mean_i - drive_e
    slope_i = (1 + ii) * mean_i - ie * mean_e - drive_i
    return slope_e.square() / ((1 - ee).square() + epsilon), slope_i.square() / ((1 + ii).square() + epsilon)


def mean_field_game(
    rates: Tensor, drive: Tensor, blocks: RecurrentBlocks, *, epsilon: float = 0.1, clip: float = 10.0
) -> Tensor:
    """Mean over samples of both players' :func:`nash_residuals`, clipped per sample.

    A clipped mean would stop the gradient of the whole batch.
    """
    residual_e, residual_i = nash_residuals(rates, drive, blocks, epsilon=epsilon)
    return (residual_e + residual_i).clamp(max=clip).mean()


def lagrangian_game(residual_e: Tensor, residual_i: Tensor, penalty: GamePenalty) -> Tensor:
    """Σ_p λ_p R_p + μ/2 R_p² of the two players' mean residuals (scalars)."""
    linear = penalty.multiplier_e * residual_e + penalty.multiplier_i * residual_i
    return linear + 0.5 * penalty.penalty * (residual_e.square() + residual_i.square())


def residual_game(rates: Tensor, activation: Tensor, n_e: int) -> Tensor:
    """½ [mean_b ‖r_E − φ(h_E)‖₂/√n_E + mean_b ‖r_I − φ(h_I)‖₂/√n_I] at the last tick; both (B, D)."""
    gap = rates - activation
    n_i = gap.shape[1] - n_e
    norm_e: Tensor = torch.linalg.vector_norm(gap[:, :n_e], dim=1).mean()
    norm_i: Tensor = torch.linalg.vector_norm(gap[:, n_e:], dim=1).mean()
    return 0.5 * (norm_e / math.sqrt(n_e) + norm_i / math.sqrt(n_i))


def spectral_loss(blocks: RecurrentBlocks, targets: tuple[float, float], iterations: int) -> Tensor:
    """[ρ̂(W_EE) − ρ*_E]₊² + [ρ̂(W_II) − ρ*_I]₊²."""
    estimates = perron_estimate(blocks.ee, iterations), perron_estimate(blocks.ii, iterations)
    excess = [torch.relu(value - target).square() for value, target in zip(estimates, targets, strict=True)]
    return excess[0] + excess[1]


def clipped_residuals(dynamics: Dynamics, blocks: RecurrentBlocks, config: LossConfig) -> tuple[Tensor, Tensor]:
    """Return both players' residuals, clipped per sample, mean over samples: the augmented Lagrangian's constraints."""
    pair = nash_residuals(dynamics.rates, dynamics.drive, blocks, epsilon=config.game_epsilon)
    residual_e, residual_i = (residual.clamp(max=config.game_clip).mean() for residual in pair)
    return residual_e, residual_i


# What an answer costs: one function for each kind of task. Pure functions of logits, certainty and targets.
#
# Logits are (B, C, *S, T), the certainty (B, T), targets (B, *S): C classes at the positions S after each of T ticks.
# Most objectives are first a loss at every tick, (B, T), then a mean over two ticks (Darlow et al.,
# arXiv:2505.05522): the one of least loss and a second, the most certain one or, for the LSTM baseline, the last.


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
    logits: Tensor, certainty: Tensor, targets: Tensor, every_tick: float = 0.0, second: SecondTick = "certain"
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


def over_ticks(losses: Tensor, certainty: Tensor, ticks: TicksThatCount, config: LossConfig) -> Tensor:
    """Return the mean over samples of what the ``ticks`` that count cost, given losses and certainty (B, T).

    ``two_point`` and ``anytime`` as :func:`two_point` has them. The others pay at the end: ``last``, the last tick
    alone; ``last_certain``, half of it and half of the most certain tick, which keeps the certainty of all ticks
    honest; ``late``, all ticks, tick t with a weight of 2t/(T(T + 1)), so that the pay grows towards the end.
    """
    if ticks in ("two_point", "anytime"):
        return two_point(losses, certainty, config.anytime_weight if ticks == "anytime" else 0.0, config.second_tick)
    if ticks == "late":
        weight = torch.arange(1, losses.shape[1] + 1, device=losses.device, dtype=losses.dtype)
        return (losses @ (weight / weight.sum())).mean()
    last = losses[:, -1].mean()
    return last if ticks == "last" else 0.5 * (last + at_tick(losses, second_tick(certainty)).mean())


def _of_classes(ticks: TicksThatCount) -> Callable[[Tensor, Tensor, Tensor, LossConfig], Tensor]:
    def cost(logits: Tensor, certainty: Tensor, targets: Tensor, config: LossConfig) -> Tensor:
        return over_ticks(cross_entropies(logits, targets), certainty, ticks, config)

    return cost


for _ticks in get_args(TicksThatCount):
    register("objective", _ticks)(_of_classes(_ticks))


@register("objective", "route")
def _route(logits: Tensor, certainty: Tensor, targets: Tensor, config: LossConfig) -> Tensor:
    return over_ticks(route_losses(logits, targets, config.lookahead), certainty, config.route_ticks, config)


@register("objective", "ctc")
def _ctc(logits: Tensor, certainty: Tensor, targets: Tensor, config: LossConfig) -> Tensor:
    return list_loss(logits, targets).mean()

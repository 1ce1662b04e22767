"""Whether a model thinks on: what changes from tick to tick, and what thinking longer than trained does."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tide.data import LabelledSet, to_float
from tide.evaluate.answers import collect_answers, evaluating
from tide.models.cell import Cell
from tide.models.inputs import Inputs, moved
from tide.models.thinker import Thinker
from tide.models.tide import TideCell

SAMPLES = 64  # that an evaluation looks into: readings of more differ in the third digit
TINY = 1e-12


@dataclass(frozen=True)
class ThinkingOn:
    """What changes over T ticks, one number for each tick, means over samples.

    ``activity_change``: ‖y(t) − y(t − 1)‖/‖y(t − 1)‖ of the neurons' activity y, the rates of TIDE; ``query_change``:
    1 − cosine of what steers the attention with the tick before; ``attention_change``: sum of absolute differences of
    the attention's weights, mean over heads, at most 2; the first tick has none, NaN. ``dimensions``: participation
    ratio (Σλ)²/Σλ² of the activity's covariance over samples, 1 to D. ``recurrent`` and ``drive``: standard deviation
    over samples, mean over neurons, of W_eff r and of U o + b, what the network and what the attention bring in: where
    the first is far below the second the network is hardly recurrent. What a model does not have is None.
    """

    activity_change: list[float]
    dimensions: list[float]
    query_change: list[float] | None
    attention_change: list[float] | None
    recurrent: list[float] | None
    drive: list[float] | None


def thinking_on(model: Thinker, inputs: Inputs, ticks: int | None = None) -> ThinkingOn:
    """Read how ``model`` thinks, in eval mode, about a batch of two samples or more."""
    cell = model.cell
    attends = "attention" in cell.observables and isinstance(inputs, Tensor)  # a question is not attended to
    steers = cell.steers if attends and cell.steers in cell.observables else None
    activity = handed_on(cell)
    names = (*activity, *filter(None, (steers,)), *("attention",) * attends, *("drive",) * isinstance(cell, TideCell))
    with evaluating(model):
        out = model(inputs, record=dict.fromkeys(names), ticks=ticks)
    rates = torch.cat([out.trace[name] for name in activity], 2)
    recurrent = None
    if isinstance(cell, TideCell):
        with torch.no_grad():
            before = torch.cat((cell.wilson_cowan.initial(len(rates))[:, None], rates[:, :-1]), 1)
            recurrent = before @ cell.blocks().effective().T
    return ThinkingOn(
        activity_change=_from_tick_to_tick(rates, lambda now, then: (now - then).norm(dim=2) / _length(then)),
        dimensions=[_participation(rates[:, tick]) for tick in range(rates.shape[1])],
        query_change=_from_tick_to_tick(out.trace[steers], _turn) if steers else None,
        attention_change=_from_tick_to_tick(
            out.trace["attention"], lambda now, then: (now - then).abs().sum(-1).mean(-1)
        )
        if attends
        else None,
        recurrent=_spread(recurrent) if recurrent is not None else None,
        drive=_spread(out.trace["drive"]) if recurrent is not None else None,
    )


def handed_on(cell: Cell) -> tuple[str, ...]:
    """Return the observables that hold what the neurons of a cell hand on to the next tick."""
    if isinstance(cell, TideCell):
        return ("corrected_e", "corrected_i") if cell.config.neuron_models.feedback else ("rates_e", "rates_i")
    return ("post_activations" if "post_activations" in cell.observables else next(iter(cell.activity.values())),)


def first_samples(split: LabelledSet, count: int, device: torch.device) -> Inputs:
    """Return the first samples of a split as a model takes them."""
    inputs, _, _ = next(iter(split.batches(count, positions=torch.arange(min(count, len(split))))))
    given: Inputs = to_float(moved(inputs, device))
    return given


def _from_tick_to_tick(values: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> list[float]:
    """Return the mean over samples of a change (B, T − 1) between ticks of values (B, T, ...); NaN at the first."""
    values = values.double()
    return [math.nan, *change(values[:, 1:], values[:, :-1]).mean(0).tolist()]


def _length(values: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(values, dim=2)
    return length.clamp(min=TINY)


def _turn(now: Tensor, then: Tensor) -> Tensor:
    return 1 - torch.cosine_similarity(now, then, dim=2)


def _participation(values: Tensor) -> float:
    """Participation ratio of the covariance over samples of values (B, D); 0 where nothing differs."""
    variances = torch.linalg.svdvals((values - values.mean(0)).double()).square()
    return float(variances.sum().square() / variances.square().sum().clamp(min=TINY))


def _spread(values: Tensor) -> list[float]:
    """Return the standard deviation over samples of values (B, T, D), mean over neurons."""
    spread: list[float] = values.double().std(0).mean(1).tolist()
    return spread


@dataclass(frozen=True)
class LongerThought:
    """Accuracies in [0, 1] when the model thinks on, tick by tick: fixed tick, and most certain tick so far.

    ``whole_...`` are the shares of answers that are right as a whole; None of a single class.
    """

    trained_ticks: int
    fixed_tick: list[float]
    most_certain_so_far: list[float]
    whole_fixed_tick: list[float] | None = None
    whole_most_certain_so_far: list[float] | None = None

    def multiples(self) -> list[dict[str, Any]]:
        """Return a row for 1, 2, 4, 10, 20, ... times the trained ticks, as far as the thought goes."""
        most = len(self.fixed_tick) // self.trained_ticks
        times = sorted({1, most} | {n * 10**power for n in (1, 2, 4) for power in range(4) if n * 10**power <= most})
        rows = []
        for factor in times:
            last = factor * self.trained_ticks - 1
            rows.append(
                {
                    "times": factor,
                    "ticks": last + 1,
                    "last": self.fixed_tick[last],
                    "most_certain": self.most_certain_so_far[last],
                    "whole_last": self.whole_fixed_tick[last] if self.whole_fixed_tick else None,
                }
            )
        return rows


def think_longer(
    model: Thinker,
    split: LabelledSet,
    *,
    factor: int = 4,
    batch: int = 500,
    progress: Callable[[int, int], None] | None = None,
) -> LongerThought:
    """Return the accuracy at every tick up to ``factor`` times as many as the model was trained with."""
    trained = model.config.core.ticks
    answers = collect_answers(model, split, batch=batch, ticks=factor * trained, progress=progress)
    # The first of several equals, as everywhere: cummax names the last.
    sure = answers.certainty
    more = sure > torch.cat((sure.new_full((len(sure), 1), -1.0), sure.cummax(1).values[:, :-1]), 1)
    best = torch.where(more, torch.arange(sure.shape[1]), 0).cummax(1).values

    def means(right: Tensor) -> tuple[list[float], list[float]]:
        right = right.double()
        return right.mean(0).tolist(), right.gather(1, best).mean(0).tolist()

    whole = means(answers.whole) if answers.whole is not None else (None, None)
    return LongerThought(trained, *means(answers.correct), *whole)

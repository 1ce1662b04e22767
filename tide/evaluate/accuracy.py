"""Accuracy on a whole split: at the most certain tick, at the last, and at every fixed tick."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from tide.data import LabelledSet
from tide.evaluate.answers import Answers, collect_answers
from tide.evaluate.calibration import expected_calibration_error
from tide.evaluate.hedging import answering_ticks, read_hedging
from tide.models.thinker import Thinker
from tide.objectives import dual_losses


@dataclass(frozen=True)
class Evaluation:
    """Means over a split: accuracies in [0, 1], the per-tick one of length T.

    Accuracies are the share of positions that are right where an answer has several; ``whole_accuracy`` and
    ``whole_accuracy_per_tick`` then the share of answers that are right as a whole, and None otherwise.
    ``accuracy``, ``certainty`` and ``calibration_error`` are those of the answer, at the most certain tick.
    ``ei_ratio`` is None for a model without excitatory and inhibitory populations. ``loss`` is the dual loss in nats,
    ``loss_most_certain`` and ``loss_per_tick`` are cross-entropies. For ``oracle_accuracy`` to ``answering_tick`` see
    :class:`~tide.evaluate.hedging.Hedging`; ``answering_ticks`` is the share of images answered at each tick.
    """

    images: int
    accuracy: float
    accuracy_last_tick: float
    accuracy_per_tick: list[float]
    loss: float
    certainty: float
    calibration_error: float
    ei_ratio: float | None
    oracle_accuracy: float
    hedging: float
    certainty_never_falls: float
    loss_never_rises: float
    answering_tick: float
    answering_ticks: list[float]
    loss_most_certain: float
    loss_per_tick: list[float]
    certainty_per_tick: list[float]
    whole_accuracy: float | None = None
    whole_accuracy_per_tick: list[float] | None = None

    def readings(self) -> dict[str, Any]:
        """Return everything by name, without what a single class does not have."""
        return {name: value for name, value in asdict(self).items() if value is not None or name == "ei_ratio"}


def evaluate(
    model: Thinker,
    split: LabelledSet,
    *,
    batch: int = 500,
    ticks: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Evaluate ``model`` in eval mode on every image of ``split``; arguments as :func:`collect_answers`."""
    return summarize(collect_answers(model, split, batch=batch, ticks=ticks, progress=progress))


def summarize(answers: Answers) -> Evaluation:
    """Return the means of a split's answers, taken in float64."""
    correct, whole = answers.correct, answers.whole
    right = answers.at_most_certain(correct)
    hedging = read_hedging(answers.losses, answers.certainty, correct)
    return Evaluation(
        images=len(answers.labels),
        accuracy=float(right.double().mean()),
        accuracy_per_tick=correct.double().mean(0).tolist(),
        loss=float(dual_losses(answers.losses, answers.certainty).double().mean()),
        certainty=float(answers.certainty.amax(1).double().mean()),
        calibration_error=expected_calibration_error(answers.at_most_certain(answers.confidence), right),
        ei_ratio=float(answers.ratio.double().mean()) if answers.ratio is not None else None,
        answering_ticks=answering_ticks(answers.certainty).tolist(),
        loss_most_certain=float(answers.at_most_certain(answers.losses).double().mean()),
        loss_per_tick=answers.losses.double().mean(0).tolist(),
        certainty_per_tick=answers.certainty.double().mean(0).tolist(),
        **{name: float(value) for name, value in hedging._asdict().items()},
        whole_accuracy=float(answers.at_most_certain(whole).double().mean()) if whole is not None else None,
        whole_accuracy_per_tick=whole.double().mean(0).tolist() if whole is not None else None,
    )

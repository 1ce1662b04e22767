"""What a model answers on every image of a split, and how often it is right, tick by tick."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from tide.config import OutputConfig
from tide.data import LabelledSet
from tide.data.drawn.mazes import started_at, walk
from tide.evaluate.statistics import expected_calibration_error
from tide.losses import dual_losses, tick_losses
from tide.models.heads import at_tick, over_positions, read_answers, share_right
from tide.models.inputs import moved, to_float
from tide.models.thinker import Thinker
from tide.types import ThoughtOutput


@dataclass(frozen=True)
class Answers:
    """Of n images over T ticks, on the CPU.

    ``positions`` (n,) of the images in the split, ascending; ``labels`` (n, *S); ``predicted`` (n, *S, T), the
    likeliest class at every tick; ``certainty`` (n, T); ``confidence`` (n, T), the probability of that class;
    ``losses`` (n, T), the cross-entropy; ``ratio`` (n, T), the E-I ratio, None for a model without populations;
    ``restricted`` and ``restricted_confidence`` (n, T), the likeliest of some classes and its probability in a
    softmax over only these, None unless they were named.
    """

    positions: Tensor
    labels: Tensor
    predicted: Tensor
    certainty: Tensor
    confidence: Tensor
    losses: Tensor
    ratio: Tensor | None
    restricted: Tensor | None = None
    restricted_confidence: Tensor | None = None

    @classmethod
    def of(
        cls, out: ThoughtOutput, labels: Tensor, positions: Tensor, output: OutputConfig, classes: Tensor | None = None
    ) -> Self:
        """Take the answers of one batch from the model's output, the labels (B, *S) and the images' positions (B,).

        With ``classes`` (k,) the likeliest of these is noted, too.
        """
        logits, certainty = (part.cpu() for part in out.answers())
        answer = read_answers(logits, certainty, output)
        confidence = over_positions(torch.softmax(logits, 1).amax(1))
        ratio = out.ei_ratio[:, out.answers_from :].cpu() if out.ei_ratio is not None else None
        losses = tick_losses(logits, labels, output)
        answers = cls(positions, labels, answer.classes, answer.certainty, confidence, losses, ratio)
        if classes is None:
            return answers
        sure, place = torch.softmax(logits[:, classes], 1).max(1)
        return replace(answers, restricted=classes[place], restricted_confidence=sure)

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Join the answers of several batches."""
        names = [field.name for field in fields(cls) if getattr(parts[0], field.name) is not None]
        columns: dict[str, Any] = {name: torch.cat([getattr(part, name) for part in parts]) for name in names}
        return cls(**{"ratio": None, **columns})

    @classmethod
    def merge(cls, parts: Sequence[Self]) -> Self:
        """Join the answers of several processes, each asked other images, in the order of the split."""
        joined = cls.join(parts)
        order = joined.positions.argsort()
        columns: dict[str, Any] = {field.name: getattr(joined, field.name) for field in fields(cls)}
        ordered: dict[str, Any] = {name: None if value is None else value[order] for name, value in columns.items()}
        return cls(**ordered)

    @property
    def correct(self) -> Tensor:
        """Whether the answer is right at every tick, (n, T) bool; of several positions, the share that are."""
        return share_right(self.predicted, self.labels)

    @property
    def whole(self) -> Tensor | None:
        """Whether all positions of an answer are right at every tick, (n, T) bool; None of a single class."""
        if self.labels.dim() == 1:
            return None
        return (self.predicted == self.labels[..., None]).flatten(1, -2).all(1)

    def at_most_certain(self, values: Tensor) -> Tensor:
        """Return ``values`` (n, ..., T) at each image's most certain tick, (n, ...): where the model answers."""
        return at_tick(values, self.certainty.argmax(1))


@contextmanager
def evaluating(model: Thinker) -> Iterator[None]:
    """Put ``model`` into eval mode without gradients for the time of the block."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def collect_answers(
    model: Thinker,
    split: LabelledSet,
    *,
    batch: int = 500,
    ticks: int | None = None,
    positions: Tensor | None = None,
    classes: Tensor | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Answers:
    """Ask ``model`` in eval mode about every image of ``split``, once; only unreadable photos are left out.

    ``positions`` (n,) names the images to ask about, ascending, where it is not all of them. ``classes`` (k,) names the
    classes, ascending, among which the restricted answers are sought. ``progress`` is called
    with (images done, images in all) after each batch.
    """
    device = model.mean.device
    count = len(split) if positions is None else len(positions)
    parts: list[Answers] = []
    done = 0
    stream = split.batches(batch, positions=positions)
    with evaluating(model), closing(stream):
        for images, labels, places in stream:
            out = model(to_float(moved(images, device)), ticks=ticks)
            parts.append(Answers.of(out, labels.cpu(), places, model.config.output, classes))
            done += len(labels)
            if progress is not None:
                progress(done, count)
    return Answers.join(parts)


# Accuracy on a whole split: at the most certain tick, at the last, and at every fixed tick.


@dataclass(frozen=True)
class Evaluation:
    """Means over a split: accuracies in [0, 1], the per-tick one of length T.

    Accuracies are the share of positions that are right where an answer has several; ``whole_accuracy`` and
    ``whole_accuracy_per_tick`` then the share of answers that are right as a whole, and None otherwise.
    ``accuracy``, ``certainty`` and ``calibration_error`` are those of the answer, at the most certain tick.
    ``ei_ratio`` is None for a model without excitatory and inhibitory populations. ``loss`` is the dual loss in nats,
    ``loss_most_certain`` and ``loss_per_tick`` are cross-entropies. For ``oracle_accuracy`` to ``answering_tick`` see
    :class:`~tide.evaluate.answers.Hedging`; ``answering_ticks`` is the share of images answered at each tick.
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


# Whether ticks hedge: hold different answers, of which one is right, in place of one that grows and stays.
#
# The dual loss asks for the answer at two ticks of each image and nothing of the others (paper, Appendix B.3), so
# that a network may learn to be right somewhere. The readings here tell how far it went.


class Hedging(NamedTuple):
    """Means over images, each a scalar; accuracies and shares in [0, 1], ticks counted from 1.

    ``oracle_accuracy``: if every image were answered at its tick of least loss, of several equal ones at that where
    most is right; ``hedging``: that less the accuracy at the most certain tick; ``certainty_never_falls`` and
    ``loss_never_rises``: the share of images where they do not over the ticks, the premises under which the dual loss
    is the loss at the last tick; ``answering_tick``: the most certain one.
    """

    accuracy_last_tick: Tensor
    oracle_accuracy: Tensor
    hedging: Tensor
    certainty_never_falls: Tensor
    loss_never_rises: Tensor
    answering_tick: Tensor


def read_hedging(losses: Tensor, certainty: Tensor, correct: Tensor) -> Hedging:
    """Read it from the loss, the certainty and whether the answer is right, at every tick, (B, T) each."""
    certain = certainty.argmax(1)
    # A list that is emitted over the ticks has one loss for all of them, while the list grows.
    oracle = torch.where(losses == losses.amin(1, keepdim=True), correct.double(), 0.0).amax(1).mean()
    return Hedging(
        accuracy_last_tick=correct[:, -1].double().mean(),
        oracle_accuracy=oracle,
        hedging=oracle - at_tick(correct, certain).double().mean(),
        certainty_never_falls=(certainty.diff(dim=1) >= 0).all(1).double().mean(),
        loss_never_rises=(losses.diff(dim=1) <= 0).all(1).double().mean(),
        answering_tick=certain.double().mean() + 1,
    )


def answering_ticks(certainty: Tensor) -> Tensor:
    """Return the share of images whose most certain tick is each of T, (T,) float64, given certainty (B, T)."""
    counts: Tensor = torch.bincount(certainty.argmax(1), minlength=certainty.shape[1])
    return counts.double() / len(certainty)


# Mazes walked in several answers: each goes on where the one before it ended (Darlow et al., arXiv:2505.05522).


def walk_on(model: Thinker, mazes: Tensor, passes: int) -> Tensor:
    """Return whether the goal of mazes (B, 3, H, W), uint8, is reached after each of ``passes`` answers, (B, passes).

    A route answered at the most certain tick is walked up to its first ``end`` or wall; from there the model is asked
    again, without a memory of what came before. So a model can be tested on mazes larger, and routes longer, than
    those that it was trained on.
    """
    device = next(model.parameters()).device
    arrived = torch.zeros(len(mazes), passes, dtype=torch.bool)
    waiting = torch.arange(len(mazes))
    with evaluating(model), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="images are .* the model was made for")  # on purpose
        for number in range(passes):
            logits, certainty = model(to_float(mazes[waiting]).to(device)).answers()
            answer = read_answers(logits.cpu(), certainty.cpu(), model.config.output)
            walked = walk(mazes[waiting], at_tick(answer.classes, answer.certainty.argmax(1)))
            arrived[waiting[walked.arrived], number:] = True
            mazes = mazes.clone()
            mazes[waiting] = started_at(mazes[waiting], walked.places[:, -1])
            waiting = waiting[~walked.arrived]
            if len(waiting) == 0:
                break
    return arrived

"""What a model answers on every image of a split: the raw material of all measures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor

from tide.config import OutputConfig
from tide.data import LabelledSet, to_float
from tide.heads import at_tick, over_positions, read_answers, share_right
from tide.inputs import moved
from tide.models.thinker import Thinker
from tide.objectives import tick_losses
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
        cls,
        out: ThoughtOutput,
        labels: Tensor,
        positions: Tensor,
        output: OutputConfig,
        classes: Tensor | None = None,
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
    classes, ascending, among which the restricted answers are sought, where they are wanted. ``progress`` is called
    with (images done, images in all) after each batch.
    """
    device = model.mean.device
    asked = len(split) if positions is None else len(positions)
    parts: list[Answers] = []
    done = 0
    stream = split.batches(batch, positions=positions)
    with evaluating(model), closing(stream):
        for images, labels, places in stream:
            out = model(to_float(moved(images, device)), ticks=ticks)
            parts.append(Answers.of(out, labels.cpu(), places, model.config.output, classes))
            done += len(labels)
            if progress is not None:
                progress(done, asked)
    return Answers.join(parts)

"""What a model answers on every image of a split: the raw material of all measures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor

from tide.data import ImageSet, to_float
from tide.losses import cross_entropies
from tide.models.thinker import Thinker
from tide.types import ThoughtOutput


@dataclass(frozen=True)
class Answers:
    """Of n images over T ticks, on the CPU.

    ``labels`` (n,); ``predicted`` (n, T), the likeliest class at every tick; ``certainty`` (n, T); ``confidence``
    (n, T), the probability of that class; ``losses`` (n, T), the cross-entropy; ``ratio`` (n, T), the E-I ratio, None
    for a model without populations.
    """

    labels: Tensor
    predicted: Tensor
    certainty: Tensor
    confidence: Tensor
    losses: Tensor
    ratio: Tensor | None

    @classmethod
    def of(cls, out: ThoughtOutput, labels: Tensor) -> Self:
        """Take the answers of one batch from the model's output and the labels (B,)."""
        logits = out.logits.cpu()
        confidence, predicted = torch.softmax(logits, 1).max(1)
        ratio = out.ei_ratio.cpu() if out.ei_ratio is not None else None
        return cls(labels, predicted, out.certainty.cpu(), confidence, cross_entropies(logits, labels), ratio)

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Join the answers of several batches."""
        names = [field.name for field in fields(cls) if getattr(parts[0], field.name) is not None]
        columns: dict[str, Any] = {name: torch.cat([getattr(part, name) for part in parts]) for name in names}
        return cls(**{"ratio": None, **columns})

    @classmethod
    def interleave(cls, parts: Sequence[Self]) -> Self:
        """Join the answers of several processes, of which the k-th was asked images k, k + count, k + 2 count, ..."""
        joined, count = cls.join(parts), len(parts)
        order = torch.cat([torch.arange(k, len(joined.labels), count) for k in range(count)]).argsort()
        columns: dict[str, Any] = {field.name: getattr(joined, field.name) for field in fields(cls)}
        ordered: dict[str, Any] = {name: None if value is None else value[order] for name, value in columns.items()}
        return cls(**ordered)

    @property
    def correct(self) -> Tensor:
        """Whether the answer is right at every tick, (n, T) bool."""
        return self.predicted == self.labels[:, None]

    def at_most_certain(self, values: Tensor) -> Tensor:
        """Return ``values`` (n, T) at each image's most certain tick, (n,): where the model answers."""
        return values.gather(1, self.certainty.argmax(1, keepdim=True)).squeeze(1)


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
    split: ImageSet,
    *,
    batch: int = 500,
    ticks: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Answers:
    """Ask ``model`` in eval mode about every image of ``split``; no image is left out or asked twice.

    ``progress`` is called with (images done, images in all) after each batch.
    """
    device = model.mean.device
    parts: list[Answers] = []
    with evaluating(model):
        for start in range(0, len(split), batch):
            out = model(to_float(split.images[start : start + batch].to(device)), ticks=ticks)
            labels = split.labels[start : start + batch].cpu()
            parts.append(Answers.of(out, labels))
            if progress is not None:
                progress(min(start + batch, len(split)), len(split))
    return Answers.join(parts)

"""Accuracy on a whole split: at the most certain tick, at the last, and at every fixed tick."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tide.data import ImageSet, to_float
from tide.heads import most_certain
from tide.losses import dual_loss_diagnostics, task_loss
from tide.models.thinker import Thinker


@dataclass(frozen=True)
class Evaluation:
    """Means over a split: accuracies in [0, 1], the per-tick one of length T."""

    images: int
    accuracy: float
    accuracy_last_tick: float
    accuracy_per_tick: list[float]
    loss: float
    certainty: float
    ei_ratio: float
    certainty_never_falls: float
    loss_never_rises: float


@torch.no_grad()
def evaluate(
    model: Thinker,
    split: ImageSet,
    *,
    batch: int = 500,
    ticks: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Evaluate ``model`` in eval mode on every image of ``split``; no image is left out or counted twice.

    ``progress`` is called with (images done, images in all) after each batch.
    """
    device = model.mean.device
    was_training = model.training
    model.eval()
    sums: Tensor | float = 0.0
    try:
        for start in range(0, len(split), batch):
            images = to_float(split.images[start : start + batch].to(device))
            labels = split.labels[start : start + batch].cpu()
            sums = sums + len(labels) * _means(model, images, labels, ticks)
            if progress is not None:
                progress(min(start + batch, len(split)), len(split))
    finally:
        model.train(was_training)
    assert isinstance(sums, Tensor)
    means = [float(value) for value in sums / len(split)]
    accuracy, loss, certainty, ratio, rising, falling, *per_tick = means
    return Evaluation(
        images=len(split),
        accuracy=accuracy,
        accuracy_last_tick=per_tick[-1],
        accuracy_per_tick=per_tick,
        loss=loss,
        certainty=certainty,
        ei_ratio=ratio,
        certainty_never_falls=rising,
        loss_never_rises=falling,
    )


def _means(model: Thinker, images: Tensor, labels: Tensor, ticks: int | None) -> Tensor:
    """Return the means of one batch, in float64 on the CPU, in the order in which :func:`evaluate` unpacks them."""
    out = model(images, ticks=ticks)
    logits, certainty, ratio = (t.cpu().double() for t in (out.logits, out.certainty, out.ei_ratio))
    right = (most_certain(logits, certainty).argmax(1) == labels).double().mean()
    per_tick = (logits.argmax(1) == labels[:, None]).double().mean(0)
    dual = dual_loss_diagnostics(logits, certainty, labels)
    loss = task_loss(logits, certainty, labels)
    others = torch.stack((loss, certainty.amax(1).mean(), ratio.mean(), *(share.double() for share in dual)))
    return torch.cat((right[None], others, per_tick))

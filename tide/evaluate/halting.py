"""Adaptive compute: what stopping early costs in accuracy and gains in measured time (paper, §4.4)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor

from tide.data import LabelledSet, to_float
from tide.device import synchronize
from tide.evaluate.answers import evaluating
from tide.models.heads import share_right
from tide.models.inputs import moved
from tide.models.thinker import Thinker

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 1.0)
EXAMPLES = 8  # easiest and hardest images that are named


@dataclass(frozen=True)
class HaltedRun:
    """A whole split at one threshold, None without halting.

    ``accuracy`` in [0, 1]; ``mean_ticks``; ``images_per_second`` measured over whole batches, backbone included;
    ``speed_up`` over no halting, the median over batches of the ratio of times of the same batch.
    """

    threshold: float | None
    accuracy: float
    mean_ticks: float
    images_per_second: float
    speed_up: float


@dataclass(frozen=True)
class HaltingSweep:
    """All thresholds, and of the one shown in detail: the ticks that every image took, (n,), and its labels."""

    runs: tuple[HaltedRun, ...]
    shown: float
    ticks: Tensor
    labels: Tensor
    right: Tensor

    def easiest(self, count: int = EXAMPLES) -> list[int]:
        """Return the images (by number) that stopped first; the right ones, in the order of the split."""
        order = torch.argsort(self.ticks + 1000 * ~self.right, stable=True)
        return [int(index) for index in order[:count]]

    def hardest(self, count: int = EXAMPLES) -> list[int]:
        """Return the images (by number) that took most ticks, wrong ones first."""
        order = torch.argsort(2 * self.ticks + (~self.right).long(), descending=True, stable=True)
        return [int(index) for index in order[:count]]


def sweep_thresholds(
    model: Thinker,
    split: LabelledSet,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    shown: float = 0.9,
    batch: int = 500,
    ticks: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> HaltingSweep:
    """Answer every image of ``split`` at every threshold and without halting, timing each.

    Batch by batch all settings take their turn, in an order that rotates, so that a busy moment of the machine
    touches all alike. ``shown`` is the threshold whose ticks are kept.
    """
    device = model.mean.device
    settings: list[float | None] = [None, *dict.fromkeys((*thresholds, shown))]
    seconds: dict[float | None, list[float]] = {setting: [] for setting in settings}
    answers: dict[float | None, list[tuple[Tensor, Tensor]]] = {setting: [] for setting in settings}
    labels: list[Tensor] = []
    with evaluating(model), closing(split.batches(batch)) as stream:
        for number, (inputs, truth, _) in enumerate(stream):
            images = to_float(moved(inputs, device))
            if number == 0:
                model.predict(images)  # the first call of all pays for memory
            turn = number % len(settings)
            for setting in (*settings[turn:], *settings[:turn]):
                synchronize(device)
                began = time.perf_counter()
                prediction = model.predict(images, halt=setting, ticks=ticks)
                synchronize(device)
                seconds[setting].append(time.perf_counter() - began)
                correct = share_right(prediction.label.cpu()[..., None], truth.cpu())[:, 0]
                answers[setting].append((correct, prediction.ticks.cpu()))
            labels.append(truth.cpu())
            if progress is not None:
                progress(sum(map(len, labels)), len(split))
    runs = []
    for setting in settings:
        right, used = (torch.cat(column) for column in zip(*answers[setting], strict=True))
        ratios = [whole / halted for whole, halted in zip(seconds[None], seconds[setting], strict=True)]
        runs.append(
            HaltedRun(
                threshold=setting,
                accuracy=float(right.double().mean()),
                mean_ticks=float(used.double().mean()),
                images_per_second=len(split) / sum(seconds[setting]),
                speed_up=statistics.median(ratios),
            )
        )
        if setting == shown:
            kept = used, right == 1
    return HaltingSweep(tuple(runs), shown, kept[0], torch.cat(labels), kept[1])

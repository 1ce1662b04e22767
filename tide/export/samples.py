"""A few test samples that the page carries, and how large what is drawn in them is."""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tide.data.sets import LabelledSet
from tide.inputs import to_float

MOST = 10
FRAME = 0.71  # a digit of MNIST fills 20 of 28 pixels; the drawing's share where no example says another
INK = 0.2  # a pixel brighter than this belongs to what is drawn


class Sample(NamedTuple):
    """One test sample: its class in words, if it has one, and pixels (channels, H, W) as uint8 or a sequence."""

    label: str | None
    shown: Tensor

    def as_json(self) -> dict[str, Any]:
        """Return it as the page reads it."""
        if self.shown.dtype != torch.uint8:
            return {"label": self.label, "values": self.shown.tolist()}
        pixels = base64.b64encode(self.shown.contiguous().numpy().tobytes()).decode("ascii")
        return {"label": self.label, "pixels": pixels}


def choose(examples: LabelledSet | None) -> list[Sample]:
    """Return the first image of each class, classes in order; of answers at several places the first samples."""
    if examples is None:
        return []
    if examples.labels.dim() > 1:
        some = examples.select(slice(0, min(MOST, len(examples)))).images
        return [Sample(None, shown) for shown in some]
    first: dict[int, int] = {}
    for number in range(len(examples)):
        first.setdefault(int(examples.labels[number]), number)
        if len(first) == min(len(examples.classes), MOST):
            break
    numbers = [first[label] for label in sorted(first)]
    return [Sample(examples.classes[int(examples.labels[n])], _image(examples, n)) for n in numbers]


def frame(chosen: list[Sample]) -> float:
    """Return which share of the image's side the shapes fill, in the median."""
    shares = []
    for _, shown in chosen:
        inked = (to_float(shown).mean(0) > INK).nonzero() if shown.dim() == 3 else shown.new_zeros(0)
        if len(inked):
            shares.append(float((inked.amax(0) - inked.amin(0) + 1).max()) / shown.shape[-1])
    return sorted(shares)[len(shares) // 2] if shares else FRAME


def _image(examples: LabelledSet, number: int) -> Tensor:
    image: Tensor = examples.select(slice(number, number + 1)).images[0]
    return image

"""Suites of shifted test images: each names its shifts and gives the images of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from tide.corruptions import CORRUPTIONS, EXTRA, SEVERITIES, corrupt
from tide.data import ImageSet, LabelledSet

COLOURED = "saturate"  # acts on colours alone
GENERATED = "corruptions"  # the suite made from the test images


class Shift(NamedTuple):
    """What was done to the images, and how much of it where there are severities."""

    name: str
    severity: int | None

    @property
    def label(self) -> str:
        """The shift in one word."""
        return self.name if self.severity is None else f"{self.name}-{self.severity}"


@dataclass(frozen=True)
class Suite:
    """Shifted versions of a test set.

    ``clean``: the images as they were, None where the suite does not have them; ``shifts``: every shift; ``images``:
    reads or makes those of one, or with positions (n,) only these; ``groups``: what is averaged under which title;
    ``classes``: the model's classes (k,), ascending, that there are images of, None where it is all; ``same_images``:
    whether a position is the same image under every shift; ``clean_positions``: which of the clean images (n,) are of
    the suite's classes, None for all; ``checksum``: tells the data from others called the same, None where unknown.
    """

    name: str
    clean: LabelledSet | None
    shifts: tuple[Shift, ...]
    images: Callable[[Shift, Tensor | None], LabelledSet]
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    classes: Tensor | None = None
    same_images: bool = True
    clean_positions: Tensor | None = None
    checksum: int | None = None


def generated(clean: ImageSet, seed: int) -> Suite:
    """Return the 15 corruptions of ImageNet-C and 4 others at five severities, made from ``clean`` when needed.

    Grey images have 3 others: saturation leaves them as they are.
    """
    extra = [name for name in EXTRA if clean.shape[0] > 1 or name != COLOURED]
    names = (*CORRUPTIONS, *extra)

    def images(shift: Shift, positions: Tensor | None) -> ImageSet:
        assert shift.severity is not None
        index = torch.arange(len(clean)) if positions is None else positions
        some = clean.select(index)
        made = corrupt(some.images, shift.name, shift.severity, seed=seed, indices=index)
        return ImageSet(made, some.labels, clean.classes)

    shifts = tuple(Shift(name, severity) for name in names for severity in SEVERITIES)
    groups = {"15 corruptions": CORRUPTIONS, "extra": extra}
    return Suite(GENERATED, clean, shifts, images, groups, checksum=clean.checksum())

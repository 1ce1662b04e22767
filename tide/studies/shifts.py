"""Suites of shifted test images: each names its shifts and gives the images of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from tide.corruptions import CORRUPTIONS, EXTRA, corrupt
from tide.data import ImageSet, LabelledImages, load_test_photos
from tide.data.layouts import corruptions_in
from tide.data.scan import folders_in
from tide.data.shifted_arrays import (
    CLEAN,
    SEVERITIES,
    cifar_c_names,
    mnist_c_names,
    read_cifar_c,
    read_mnist_c,
)
from tide.errors import DataError

COLOURED = "saturate"  # acts on colours alone


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
    reads or makes those of one, or with positions (n,) only these; ``groups``: what is averaged under which title.
    """

    name: str
    clean: LabelledImages | None
    shifts: tuple[Shift, ...]
    images: Callable[[Shift, Tensor | None], LabelledImages]
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)


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
    return Suite("corruptions", clean, shifts, images, {"15 corruptions": CORRUPTIONS, "extra": extra})


def from_folder(directory: Path, classes: Sequence[str], size: int, channels: int, clean: LabelledImages) -> Suite:
    """Return the suite that lies in a folder, in the layout of CIFAR-10-C, MNIST-C, ImageNet-C or ImageNet-R.

    Raises:
        DataError: the folder fits no layout.
    """
    if names := cifar_c_names(directory):
        shifts = tuple(Shift(name, severity) for name in names for severity in SEVERITIES)
        return Suite(
            directory.name, clean, shifts, _picked(lambda s: read_cifar_c(directory, s.name, s.severity or 0, classes))
        )
    if names := mnist_c_names(directory):
        shifts = tuple(Shift(name, None) for name in names if name != CLEAN)
        return Suite(directory.name, clean, shifts, _picked(lambda shift: read_mnist_c(directory, shift.name, classes)))
    if names := tuple(corruptions_in(directory)):
        shifts = tuple(
            Shift(name, int(level)) for name in names for level in folders_in(directory / name) if level in "12345"
        )

        def corrupted(shift: Shift) -> LabelledImages:
            return load_test_photos(directory, classes, size, channels, corruption=shift.name, severity=shift.severity)

        return Suite(directory.name, clean, shifts, _picked(corrupted), _published(names))
    if any(folders_in(directory)):
        return _renditions(directory, classes, size, channels)
    raise DataError(
        f"{directory}: no shifted test set met, NAME.npy with labels.npy, NAME/test_images.npy, "
        "CORRUPTION/SEVERITY/CLASS/ or CLASS/ with photos wanted: give the folder that holds them"
    )


def _published(names: Sequence[str]) -> dict[str, list[str]]:
    """Return which of the published groups a folder has in full."""
    groups = {"15 corruptions": CORRUPTIONS, "extra": EXTRA}
    return {title: list(group) for title, group in groups.items() if set(group) <= set(names)}


def _renditions(directory: Path, classes: Sequence[str], size: int, channels: int) -> Suite:
    """Return ImageNet-R (arXiv:2006.16241): the rendition is the part of a file's name before the underscore."""
    photos = load_test_photos(directory, classes, size, channels)
    kinds: dict[str, list[int]] = {}
    for position in range(len(photos)):
        kinds.setdefault(Path(photos.source.name(position)).name.split("_")[0], []).append(position)
    shifts = tuple(Shift(kind, None) for kind in sorted(kinds))
    return Suite(directory.name, None, shifts, _picked(lambda shift: photos.select(torch.tensor(kinds[shift.name]))))


def _picked(read: Callable[[Shift], LabelledImages]) -> Callable[[Shift, Tensor | None], LabelledImages]:
    """Return a reader of whole shifts as one of parts, too."""
    return lambda shift, positions: read(shift) if positions is None else read(shift).select(positions)

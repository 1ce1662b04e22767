"""Published shifted test sets as suites, recognised by how their folders lie."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from tide.corruptions import CORRUPTIONS, EXTRA
from tide.corruptions.augmentations import AUGMENTATIONS, perturb
from tide.data import LabelledSet, load_test_photos
from tide.data.folders import ANNOTATIONS, folders_in, part_folder
from tide.data.photos import whole_square
from tide.data.shifted import (
    CLEAN,
    SEVERITIES,
    check_same_photos,
    checksum_of_files,
    checksum_of_photos,
    cifar_c_names,
    corruptions_in,
    mnist_c_names,
    read_cifar_c,
    read_mnist_c,
    severities_in,
)
from tide.errors import DataError
from tide.studies.shifts import Shift, Suite

Clean = Callable[[], LabelledSet]
"""Reads the model's own test images; called only for a suite of shifted versions of these."""


def from_folder(
    directory: Path,
    classes: Sequence[str],
    size: int,
    channels: int,
    clean: Clean,
    seed: int = 0,
    crop: float = 1.0,
) -> Suite:
    """Return the suite that lies in a folder.

    The layouts are those of CIFAR-10-C, MNIST-C, Tiny-ImageNet, ImageNet-C and ImageNet-R.

    Args:
        directory: the folder.
        classes: the names of the model's classes; photos may be of a part of them.
        size: height and width of the model's images in pixels.
        channels: of the model's images, 1 or 3.
        clean: the model's own test images, for the suites that are shifted versions of these.
        seed: of what is drawn: the augmentations of Tiny-ImageNet.
        crop: share of a photo's shorter side that the model sees, of photos that are not published cropped.

    Raises:
        DataError: the folder fits no layout, or its shifts show other photos each.
    """
    directory = directory.expanduser()
    if names := cifar_c_names(directory):
        shifts = tuple(Shift(name, severity) for name in names for severity in SEVERITIES)
        return Suite(
            directory.name,
            clean(),
            shifts,
            _picked(lambda s: read_cifar_c(directory, s.name, s.severity or 0, classes)),
            checksum=checksum_of_files(directory, sorted(directory.glob("*.npy"))),
        )
    if names := mnist_c_names(directory):
        return Suite(
            directory.name,
            clean(),
            tuple(Shift(name, None) for name in names if name != CLEAN),
            _picked(lambda shift: read_mnist_c(directory, shift.name, classes)),
            checksum=checksum_of_files(directory, sorted(directory.glob("*/test_*.npy"))),
        )
    if (folder := part_folder(directory, "val")) is not None and (folder / ANNOTATIONS).is_file():
        return _augmented(directory, classes, size, channels, seed)
    if names := tuple(corruptions_in(directory)):
        return _corrupted(directory, names, classes, size, channels, clean)
    if any(folders_in(directory)):
        return _renditions(directory, classes, size, channels, crop)
    raise DataError(
        f"{directory}: no shifted test set, NAME.npy with labels.npy, NAME/test_images.npy, val/{ANNOTATIONS}, "
        "CORRUPTION/SEVERITY/CLASS/ or CLASS/ with photos is wanted: give the folder that holds them"
    )


def _published(names: Sequence[str]) -> dict[str, list[str]]:
    """Return which of the published groups a folder has in full."""
    groups = {"15 corruptions": CORRUPTIONS, "extra": EXTRA}
    return {title: list(group) for title, group in groups.items() if set(group) <= set(names)}


def _part(present: Iterable[int], classes: Sequence[str]) -> Tensor | None:
    """Return the classes that a suite has images of, (k,), None where they are all of the model's."""
    part = torch.tensor(sorted(set(present)), dtype=torch.int64)
    return part if len(part) < len(classes) else None


def _corrupted(
    directory: Path, names: Sequence[str], classes: Sequence[str], size: int, channels: int, clean: Clean
) -> Suite:
    """Return ImageNet-C or Tiny-ImageNet-C (arXiv:1903.12261), of all of the model's classes or a part of them."""
    shifts = tuple(Shift(name, level) for name in names for level in severities_in(directory / name))

    def corrupted(shift: Shift) -> LabelledSet:
        return load_test_photos(directory, classes, size, channels, corruption=shift.name, severity=shift.severity)

    found, checksum = check_same_photos(directory, {s.label: directory / s.name / str(s.severity) for s in shifts})
    part = _part((number for number, label in enumerate(classes) if label in found), classes)
    # What is lost under a shift is told from clean images of the same classes: others may be easier or harder.
    photos: LabelledSet | None = clean()
    positions = torch.isin(photos.labels.cpu(), part).nonzero().flatten() if photos and part is not None else None
    if positions is not None and len(positions) == 0:
        photos = positions = None
    return Suite(
        directory.name,
        photos,
        shifts,
        _picked(corrupted),
        _published(names),
        part,
        clean_positions=positions,
        checksum=checksum,
    )


@dataclass(frozen=True)
class _Enlarged:
    """A decoder of small photos: enlarged bilinearly to the model's size, and only then changed, if at all."""

    augmentation: str | None
    seed: int

    def __call__(self, file: str | IO[bytes], position: int, size: int, channels: int) -> Tensor:
        image = whole_square(file, position, size, channels)
        if self.augmentation is None:
            return image
        return perturb(image[None], self.augmentation, seed=self.seed, indices=[position])[0]


def _augmented(directory: Path, classes: Sequence[str], size: int, channels: int, seed: int) -> Suite:
    """Return the validation photos of Tiny-ImageNet, enlarged and then augmented (paper, Appendix G.8)."""
    photos = load_test_photos(directory, classes, size, channels)
    return Suite(
        directory.name,
        replace(photos, decoder=_Enlarged(None, seed)),
        tuple(Shift(name, None) for name in AUGMENTATIONS),
        _picked(lambda shift: replace(photos, decoder=_Enlarged(shift.name, seed))),
        classes=_part(photos.labels.tolist(), classes),
        checksum=checksum_of_photos(directory, photos),
    )


def _renditions(directory: Path, classes: Sequence[str], size: int, channels: int, crop: float) -> Suite:
    """Return ImageNet-R (arXiv:2006.16241): the rendition is the part of a file's name before the underscore."""
    photos = load_test_photos(directory, classes, size, channels, crop=crop)
    kinds: dict[str, list[int]] = {}
    for position in range(len(photos)):
        kinds.setdefault(Path(photos.source.name(position)).name.split("_")[0], []).append(position)
    return Suite(
        directory.name,
        None,
        tuple(Shift(kind, None) for kind in sorted(kinds)),
        _picked(lambda shift: photos.select(torch.tensor(kinds[shift.name]))),
        classes=_part(photos.labels.tolist(), classes),
        same_images=False,
        checksum=checksum_of_photos(directory, photos),
    )


def _picked(read: Callable[[Shift], LabelledSet]) -> Callable[[Shift, Tensor | None], LabelledSet]:
    """Return a reader of whole shifts as one of parts, too."""
    return lambda shift, positions: read(shift) if positions is None else read(shift).select(positions)

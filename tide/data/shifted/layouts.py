"""Published test sets of photos, recognised by how their folders lie, for a model with classes of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tide.data.photos.folders import Classes, folders_in, part_folder, photos_in, scan_classes, scan_part
from tide.data.photos.jobs import MiddleSquare, whole_square
from tide.data.photos.photo_set import PhotoSet
from tide.data.shifted.arrays import SEVERITIES
from tide.errors import DataError, did_you_mean

_LEVELS = tuple(str(severity) for severity in SEVERITIES)  # what their folders are called
_LAYOUTS = "val/CLASS/, val/images/ with val/val_annotations.txt, CORRUPTION/SEVERITY/CLASS/ or CLASS/ with photos"


def load_test_photos(
    directory: str | os.PathLike[str],
    classes: Sequence[str],
    size: int | None,
    channels: int | None,
    *,
    crop: float = 1.0,
    corruption: str | None = None,
    severity: int | None = None,
) -> PhotoSet:
    """Read a folder of photos as a test set for a model.

    The layouts are, tried in this order: ``val/CLASS/*``, the test part of a folder that one can train on;
    ``val/images/*`` with ``val/val_annotations.txt``, as tiny-imagenet has it; ``CORRUPTION/SEVERITY/CLASS/*`` with
    severities 1 to 5, as ImageNet-C has it; ``CLASS/*``, as ImageNet-R has it.

    Photos of one corruption and severity are published cropped (ImageNet-C at 224 pixels, Tiny-ImageNet-C at 64), so
    they are taken whole, also where ``directory`` is the folder of a SEVERITY; of all others the middle is.

    Args:
        directory: the folder.
        classes: the names of the model's classes, in the order of its outputs; the folder may have a part of them.
        size: height and width of the model's images in pixels.
        channels: 1 for grey or 3 for colour.
        crop: share of a photo's shorter side that its square has, where photos are not published cropped.
        corruption: which corruption to take, wanted for that layout and for no other.
        severity: which severity to take, wanted for that layout and for no other.

    Returns:
        The photos, sorted by class and then by file name, labelled with the places of their classes in ``classes``.

    Raises:
        DataError: the folder fits no layout, has a class that the model does not know, or lacks the corruption or the
            severity; annotations are damaged; or an argument is missing or out of range.
    """
    folder = Path(directory).expanduser()
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder, one of photos is wanted: check the path")
    corruptions = corruptions_in(folder)
    asked = corruption is not None or severity is not None
    cropped = False  # whether the photos are published as the squares that a model sees
    if part_folder(folder, "val") is not None:
        found = scan_part(folder, "val")
    elif corruptions:
        found, asked = scan_classes(_corrupted(folder, corruptions, corruption, severity)), False
        cropped = True
    elif any(photos_in(folder / name) for name in folders_in(folder)):
        found = scan_classes(folder)
        cropped = folder.resolve().name in _LEVELS
    else:
        raise DataError(f"{folder} holds {_describe(folder)}, {_LAYOUTS} is wanted: give the folder that holds them")
    if asked:
        raise DataError(
            f"{folder}: no folders CORRUPTION/SEVERITY/CLASS/, they are wanted for corruption {corruption!r} and "
            f"severity {severity}: leave both out or give another folder"
        )
    _check_known(folder, found, classes)
    return PhotoSet.of_files(found, classes, size, channels, whole_square if cropped else MiddleSquare(crop))


def corruptions_in(folder: Path) -> list[str]:
    """Return the folders that hold folders of severities, which hold folders and not photos."""
    return [
        name
        for name in folders_in(folder)
        if any(level in _LEVELS and folders_in(folder / name / level) for level in folders_in(folder / name))
    ]


def severities_in(folder: Path) -> list[int]:
    """Return the severities of one corruption that a folder has, ascending."""
    return sorted(int(level) for level in folders_in(folder) if level in _LEVELS)


def _corrupted(folder: Path, corruptions: list[str], corruption: str | None, severity: int | None) -> Path:
    """Return the folder of the classes of one corruption and severity."""
    if corruption not in corruptions:
        raise DataError(
            f"{folder}: corruption is {corruption!r}, one of its {len(corruptions)} is wanted"
            f"{did_you_mean(corruption or '', corruptions)}"
        )
    severities = severities_in(folder / corruption)
    if severity not in severities:
        known = ", ".join(str(level) for level in severities)
        raise DataError(f"{folder / corruption}: severity is {severity}, one of {known} is wanted: give one of them")
    return folder / corruption / str(severity)


def _check_known(folder: Path, found: Classes, classes: Sequence[str]) -> None:
    """Raise DataError unless the model knows all classes found."""
    unknown = [name for name in found if name not in set(classes)]
    if unknown:
        hint = did_you_mean(unknown[0], classes)
        if len(classes) > 20 and "did you mean" not in hint:
            hint = f"; the first is {classes[0]!r}"
        raise DataError(
            f"{folder}: {len(unknown)} of {len(found)} classes are unknown to the model, the first "
            f"{unknown[0]!r}, only the model's {len(classes)} are wanted: give a folder with the same names{hint}"
        )


def _describe(folder: Path) -> str:
    """Say in a few words what lies in a folder."""
    names, photos = folders_in(folder), len(photos_in(folder))
    some = ", ".join(f"{name}/" for name in names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{photos} photos and {some or 'no folders'}"

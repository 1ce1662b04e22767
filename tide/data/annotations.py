"""The file in which tiny-imagenet names the class of each photo of its validation part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tide.errors import DataError

ANNOTATIONS = "val_annotations.txt"
_REMEDY = "restore the published file"


def read_annotations(path: Path, photos: Sequence[str]) -> dict[str, list[str]]:
    """Read which photo belongs to which class.

    A line holds the name of a photo, its class and the box of the object, which is not used, separated by tabs.

    Args:
        path: the file.
        photos: the paths of the photos that it must name, each in one line.

    Returns:
        The paths of the photos of each class, the classes sorted, the photos in the order given.

    Raises:
        DataError: the file cannot be read, a line is malformed or names another photo or one twice, or a photo has no
            line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "bytes that are no UTF-8"
        raise DataError(f"{path}: {reason} met, readable annotations wanted: {_REMEDY}") from error
    named = {Path(photo).name: photo for photo in photos}
    class_of: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        name, label, *_ = (*line.split("\t"), "", "")
        if not name or not label:
            raise DataError(
                f"{path}, line {number}: {line!r} met, a photo, its class and its box between tabs wanted: {_REMEDY}"
            )
        if name not in named:
            raise DataError(
                f"{path}, line {number}: {name!r} met, a photo that lies in {path.parent / 'images'} wanted: "
                "restore the photo or remove the line"
            )
        if name in class_of:
            raise DataError(f"{path}, line {number}: {name!r} met again, one line for each photo wanted: {_REMEDY}")
        class_of[name] = label
    classes: dict[str, list[str]] = {label: [] for label in sorted(set(class_of.values()))}
    for name, photo in named.items():
        if name not in class_of:
            raise DataError(
                f"{path}: no line for {name!r} met in {len(lines)} lines, one for each photo wanted: {_REMEDY}"
            )
        classes[class_of[name]].append(photo)
    if not classes:
        raise DataError(f"{path}: no lines met, one for each photo wanted: {_REMEDY}")
    return classes

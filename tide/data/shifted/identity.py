"""Which copy of a published test set a folder holds, and whether its shifts show the same photos."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from tide.data.photos.folders import Classes, scan_classes
from tide.data.photos.photo_set import PhotoSet
from tide.errors import DataError

_PIECE = 1 << 16  # bytes read of a file
_SAMPLES = 64  # photos opened of a set


def checksum_of_files(root: Path, files: Iterable[Path], start: int = 0) -> int:
    """Return a number that two folders share whose files have the same names, lengths and first 64 KiB.

    Args:
        root: the folder; where it lies does not count.
        files: the files below it, in an order that does not depend on the file system.
        start: a checksum to go on from.

    Raises:
        DataError: a file cannot be read.
    """
    for file in files:
        try:
            with file.open("rb") as stream:
                piece, length = stream.read(_PIECE), os.fstat(stream.fileno()).st_size
        except OSError as error:
            raise DataError(f"{file}: {error.strerror or error}, a readable file is wanted: check the path") from error
        start = zlib.crc32(piece, zlib.crc32(f"{file.relative_to(root).as_posix()} {length}\n".encode(), start))
    return start


def checksum_of_photos(root: Path, photos: PhotoSet) -> int:
    """Return a number that tells sets of photos in files apart: by names, labels, and the bytes of some of them."""
    some = torch.linspace(0, len(photos) - 1, min(_SAMPLES, len(photos))).round().long().tolist()
    return checksum_of_files(root, (Path(photos.source.name(place)) for place in some), photos.checksum())


def check_same_photos(root: Path, shifts: Mapping[str, Path]) -> tuple[tuple[str, ...], int]:
    """Check that the folders of all shifts hold the same photos, by class and name without its ending.

    Results are paired over images by their positions, which one missing photo would move.

    Args:
        root: the folder of the set.
        shifts: the folder of each shift, which holds ``CLASS/*``.

    Returns:
        The classes, sorted, and a checksum of the set.

    Raises:
        DataError: a photo of one shift lacks in another, or a folder is unreadable.
    """
    first, checksum = "", 0
    classes: tuple[str, ...] = ()
    wanted: list[str] = []
    for shift, folder in shifts.items():
        found = scan_classes(folder)
        names = _names(found)
        if not first:
            first, classes, wanted = shift, tuple(found), names
            checksum = zlib.crc32("\n".join(names).encode())
        elif names != wanted:
            lacking = set(wanted) - set(names)
            photo = min(lacking or set(names) - set(wanted))
            here, there = (first, shift) if lacking else (shift, first)
            raise DataError(
                f"{root}: photo {photo} is in {here} but not in {there}, the same photos in every shift are wanted: "
                "restore the published files"
            )
        # One photo of each: shifts may have been made again in another way or with another seed.
        checksum = checksum_of_files(root, [Path(found[min(found)][0])], checksum)
    return classes, checksum


def _names(classes: Classes) -> list[str]:
    return [
        f"{label}/{os.path.splitext(os.path.basename(file))[0]}"  # noqa: PTH119, PTH122 (millions of them)
        for label, files in classes.items()
        for file in files
    ]

"""Photo folders in memory: ``DIR/train/CLASS/*`` and ``DIR/val/CLASS/*``, decoded once."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from tide.config import FolderConfig
from tide.data.photos.folders import check_same_classes, described, scan_part
from tide.data.photos.jobs import MiddleSquare
from tide.data.photos.photo_set import PhotoSet
from tide.data.photos.reading import LIMIT, Decoding
from tide.data.progress import progress_bar
from tide.data.sets import ImageSet, Splits
from tide.errors import DataError

_BAR_FROM = 500  # photos; fewer are decoded before a bar could be read


def open_folder(directory: Path, size: int | None, channels: int | None, crop: float = 1.0) -> Splits:
    """Find the photos below ``directory`` and leave them where they are.

    The classes are the names of the folders in ``train``, sorted; ``val`` must have the same and becomes the test
    part (:data:`tide.data.photos.folders.PARTS` has other names of the two). Files that are no photos by their ending
    and everything hidden are left out. Photos may also lie in ``train/CLASS/images`` and ``val/images`` as in
    tiny-imagenet.

    Args:
        directory: the folder that holds ``train`` and ``val``.
        size: height and width of the images in pixels, at least 1.
        channels: 1 for grey or 3 for colour.
        crop: share of the shorter side that the square of an image has in a test.

    Returns:
        Both parts, photos sorted by class and then by file name, named ``folder:`` and the directory.

    Raises:
        DataError: a folder is missing or empty, the classes of the parts differ, or ``size`` or ``channels`` is missing
            or out of range.
    """
    parts = {part: scan_part(directory, part) for part in ("train", "val")}
    check_same_classes(directory, *parts.values())
    decoder = MiddleSquare(crop)
    train, val = (PhotoSet.of_files(files, tuple(files), size, channels, decoder) for files in parts.values())
    return Splits(FolderConfig(name=str(directory)).title, train, val, found=described(directory, parts))


def load_folder(
    directory: Path, size: int | None, channels: int | None, crop: float = 1.0, limit: int = LIMIT
) -> Splits:
    """Decode all photos that :func:`open_folder` finds into memory, to the square in their middle.

    Of an unreadable photo it warns and leaves it out. Raises :class:`DataError` as :func:`open_folder` does, and where
    more than ``limit`` photos of a part or all are unreadable.
    """
    splits = open_folder(directory, size, channels, crop)
    telling = Decoding(limit=limit, on_unreadable=warnings.warn)
    assert isinstance(splits.train, PhotoSet)
    assert isinstance(splits.test, PhotoSet)
    train = _decode_all(splits.train.decoded_with(telling), "decoding train")
    test = _decode_all(splits.test.decoded_with(telling), "decoding val")
    return Splits(splits.name, train, test, splits.found)


def _decode_all(photos: PhotoSet, title: str) -> ImageSet:
    images = torch.empty(len(photos), *photos.shape, dtype=torch.uint8)
    unreadable: dict[int, str] = {}

    def place(index: int) -> None:
        try:
            images[index] = photos.decoder(photos.source.open(index), index, photos.size, photos.channels)
        except DataError as error:
            unreadable[index] = str(error)

    # Threads suffice: Pillow lets go of Python's lock while it decodes and scales.
    with ThreadPoolExecutor() as pool, progress_bar("pieces", shown=len(photos) > _BAR_FROM) as bar:
        task = bar.add_task(title, total=len(photos))
        for _ in pool.map(place, range(len(photos))):
            bar.advance(task)
    if not unreadable:
        return ImageSet(images, photos.labels, photos.classes)
    photos.note_unreadable(dict(sorted(unreadable.items())))
    readable = torch.tensor([index for index in range(len(photos)) if index not in unreadable], dtype=torch.int64)
    return ImageSet(images[readable], photos.labels[readable], photos.classes)

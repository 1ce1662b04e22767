"""Photo folders: ``DIR/train/CLASS/*`` and ``DIR/val/CLASS/*``."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from tide.data.photos.decode import check_format, decode
from tide.data.photos.folders import Classes, check_same_classes, scan_part
from tide.data.progress import progress_bar
from tide.data.sets import ImageSet, Splits

_BAR_FROM = 500  # photos; fewer are decoded before a bar could be read


def load_folder(directory: Path, size: int | None, channels: int | None, crop: float = 1.0) -> Splits:
    """Decode all photos below ``directory`` into memory.

    The classes are the names of the folders in ``train``, sorted; ``val`` must have the same and becomes the test
    part. Photos are the files ending in jpg, jpeg, png, webp or bmp, in either case; other files and everything
    hidden are left out. Photos may also lie in ``train/CLASS/images`` and ``val/images`` as in tiny-imagenet. See
    :func:`tide.data.photos.decode.decode` for how a photo becomes a square.

    Args:
        directory: the folder that holds ``train`` and ``val``.
        size: height and width of the images in pixels, at least 1.
        channels: 1 for gray or 3 for colour.
        crop: share of the shorter side that the square of an image has.

    Returns:
        Both parts, photos sorted by class and then by file name, named ``folder:`` and the directory.

    Raises:
        DataError: a folder is missing or empty, the classes of the parts differ, a photo cannot be read, or ``size``
            or ``channels`` is missing or out of range.
    """
    size, channels = check_format(size, channels)
    parts = {part: scan_part(directory, part) for part in ("train", "val")}
    check_same_classes(directory, *parts.values())
    train, val = (_decode_all(classes, size, channels, crop, f"decoding {part}") for part, classes in parts.items())
    return Splits(f"folder:{directory}", train, val)


def _decode_all(classes: Classes, size: int, channels: int, crop: float, title: str) -> ImageSet:
    photos = [photo for files in classes.values() for photo in files]
    images = torch.empty(len(photos), channels, size, size, dtype=torch.uint8)

    def place(index: int) -> None:
        images[index] = decode(photos[index], size, channels, crop=crop)

    # Threads suffice: Pillow lets go of Python's lock while it decodes and scales.
    with ThreadPoolExecutor() as pool, progress_bar("pieces", shown=len(photos) > _BAR_FROM) as bar:
        task = bar.add_task(title, total=len(photos))
        for _ in pool.map(place, range(len(photos))):
            bar.advance(task)
    counts = torch.tensor([len(files) for files in classes.values()])
    labels = torch.arange(len(classes)).repeat_interleave(counts)
    return ImageSet(images, labels, tuple(classes))

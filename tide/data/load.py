"""Loading a data set by its name or from a folder of photos, or opening one that does not fit into memory."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from tide.config import (
    Config,
    DataSettings,
    DrawnConfig,
    FolderConfig,
    HubConfig,
    ImageConfig,
    ModelConfig,
    NamedDataConfig,
    data_config,
)
from tide.data.drawn.sets import drawn_splits, drawn_test
from tide.data.hold_out import hold_out
from tide.data.hub.files import absolute_place
from tide.data.hub.open import open_hub, open_hub_test
from tide.data.named.checksum import verify
from tide.data.named.cifar import read_batch, read_classes
from tide.data.named.digits import load_digits
from tide.data.named.idx import read_idx
from tide.data.named.places import default_directory, locate, present_files
from tide.data.named.registry import DataSet, find
from tide.data.photos.in_memory import load_folder, open_folder
from tide.data.photos.jobs import MiddleSquare
from tide.data.photos.reading import LIMIT
from tide.data.sets import ImageSet, LabelledSet, Splits
from tide.errors import DataError, check_path

# The entries of the batches that hold the labels, and of the meta file that hold the class names.
_CIFAR_KEYS = {"cifar10": ("labels", "label_names"), "cifar100": ("fine_labels", "fine_label_names")}


def load(
    name: str,
    directory: str | os.PathLike[str] | None = None,
    *,
    size: int | None = None,
    channels: int | None = None,
    crop: float = 1.0,
    limit: int = LIMIT,
) -> Splits:
    """Load a data set into memory.

    Args:
        name: one of :func:`tide.data.names`, or ``folder:DIR`` for photos in ``DIR/train/CLASS`` and
            ``DIR/val/CLASS``, where DIR is relative to the working directory.
        directory: the folder that holds the named data sets, :func:`tide.data.default_directory` if not given;
            ignored for photo folders.
        size: height and width in pixels to which photos are brought; needed for photo folders, ignored for named sets.
        channels: 1 to load photos in grey, 3 in colour; needed for photo folders, ignored for named sets.
        crop: share of a photo's shorter side that its square has; ignored for named sets.
        limit: unreadable photos of a part to leave out with a warning; ignored for named sets.

    Returns:
        The training and test images. Files of named sets have been checked against their published md5.

    Raises:
        DataError: the name is unknown, or files are missing, damaged or inconsistent.
    """
    data = data_config(name)
    if isinstance(data, FolderConfig):
        return load_folder(_path(data), size, channels, crop, limit)
    data_set = find(name)
    if data_set.format == "sklearn":
        return load_digits(data_set.classes)
    if directory is not None:
        check_path("directory", directory)
    root = Path(directory) if directory is not None else default_directory()
    files = _verified_files(data_set, root)
    return _load_idx(data_set, files) if data_set.format == "idx" else _load_cifar(data_set, files)


def read_splits(config: Config, directory: Path | None = None) -> Splits:
    """Read the data set that an experiment names, or find its photos where they are streamed.

    With ``data.validation`` what is held out of the training images stands in the place of the test images.
    ``directory`` holds the named sets. Raises :class:`DataError` as :func:`load` and :func:`open_photos` do.
    """
    data, image = config.data, config.input
    if isinstance(data, DrawnConfig):
        return drawn_splits(config, directory)
    if not isinstance(image, ImageConfig):
        raise DataError(
            f"data.name is {data.name}, a task is wanted: the model takes a {image.kind}, and images are none"
        )
    return hold_out(_read(data, image, directory), data.validation, config.seed)


def read_test(data: DataSettings, model: ModelConfig, directory: Path | None = None) -> LabelledSet:
    """Read the test part of a data set for a model of its kind, without bringing training photos of the hub here."""
    if isinstance(data, DrawnConfig):
        return drawn_test(data.name, model, directory)
    image = model.images
    if isinstance(data, HubConfig):
        return open_hub_test(absolute_place(data.name), image.size, image.channels, MiddleSquare(image.crop))
    return _read(data, image, directory).test


def _read(data: NamedDataConfig | FolderConfig | HubConfig, image: ImageConfig, directory: Path | None) -> Splits:
    """Read images, or find photos, as their kind of data has it."""
    if isinstance(data, HubConfig):
        place, decoder = absolute_place(data.name), MiddleSquare(image.crop)
        return open_hub(place, image.size, image.channels, decoder, data.shuffle_buffer)
    if isinstance(data, NamedDataConfig):
        return load(data.name, directory)
    if data.photos == "streamed":
        return open_folder(_path(data), image.size, image.channels, image.crop)
    return load_folder(_path(data), image.size, image.channels, image.crop, data.unreadable_limit)


def _path(data: FolderConfig) -> Path:
    return Path(data.name).expanduser()


def open_photos(
    name: str, *, size: int | None = None, channels: int | None = None, crop: float = 1.0, buffer: int = 0
) -> Splits:
    """Find the photos of a data set and leave them where they are, to be decoded when they are used.

    Args:
        name: ``folder:DIR`` with the folders that :func:`load` reads; ``hub:DIR`` with Parquet files of a data set
            of the Hugging Face hub, or ``hub:OWNER/NAME`` for one on the hub itself, which want the extra ``hub`` to be
            installed.
        size: height and width in pixels to which photos are brought.
        channels: 1 to decode photos in grey, 3 in colour.
        crop: share of a photo's shorter side that its square has in a test.
        buffer: training photos of ``hub:`` to shuffle together, read from their files while training; 0 to bring all
            of them here first, where they can be taken in any order.

    Returns:
        The training and test photos. No photo has been decoded.

    Raises:
        DataError: the name is another, ``size`` or ``channels`` is missing or out of range, a folder is missing or
            empty, or the classes of the parts differ.
    """
    data = data_config(name)
    if isinstance(data, HubConfig):
        return open_hub(absolute_place(data.name), size, channels, MiddleSquare(crop), buffer)
    if not isinstance(data, FolderConfig):
        raise DataError(f"data set is {name!r}, folder:DIR or hub:DIR is wanted: named sets fit into memory, load them")
    return open_folder(_path(data), size, channels, crop)


def _verified_files(data_set: DataSet, root: Path) -> list[Path]:
    folder = locate(data_set, root)
    if folder is None:
        wanted = ", ".join(file.variants[0][0] for file in data_set.files)
        raise DataError(
            f"{data_set.name}: no files in {root}, {wanted} are wanted: "
            f"put them into {root / data_set.name} or run `tide data fetch {data_set.name}`"
        )
    files = present_files(data_set, folder)
    for path, md5 in files:
        verify(path, md5, data_set.name)
    return [path for path, _ in files]


def _load_idx(data_set: DataSet, files: list[Path]) -> Splits:
    train_images, train_labels, test_images, test_labels = (read_idx(path, data_set.name) for path in files)
    return Splits(
        data_set.name,
        train=ImageSet(train_images.unsqueeze(1), train_labels.long(), data_set.classes),
        test=ImageSet(test_images.unsqueeze(1), test_labels.long(), data_set.classes),
    )


def _load_cifar(data_set: DataSet, files: list[Path]) -> Splits:
    label_key, class_key = _CIFAR_KEYS[data_set.name]
    *train, test, meta = files
    classes = read_classes(meta, class_key, data_set.name)
    batches = [read_batch(path, label_key, data_set.name) for path in train]
    images, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return Splits(
        data_set.name,
        train=ImageSet(images, labels, classes),
        test=ImageSet(*read_batch(test, label_key, data_set.name), classes),
    )

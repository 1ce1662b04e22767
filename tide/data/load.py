"""From settings, or from a name, to a data set: read into memory, or opened where it does not fit there."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

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
    register,
)
from tide.config.base import builder
from tide.data.drawn.sets import drawn_test, drawn_training, drawn_validation
from tide.data.folders import scan_folder, summary
from tide.data.hub import absolute_place, open_part, parquet_files
from tide.data.named import load_named
from tide.data.orders import hold_out
from tide.data.photos import MiddleSquare, PhotoSet
from tide.data.sets import UNREADABLE_LIMIT, Decoding, ImageSet, LabelledSet, Splits, TrainingSet
from tide.errors import DataError


@dataclass(frozen=True)
class Parts:
    """The parts of a data set, each read only where it is asked for.

    Attributes:
        name: what the set is called in logs and reports.
        train: reads the images to learn from.
        test: reads the images to measure on.
        validation: reads samples to choose by, where they are not held out of those to learn from.
        summary: which photos there are and what was left out, in one line, where the data are the user's own.
    """

    name: str
    train: Callable[[], TrainingSet]
    test: Callable[[], LabelledSet]
    validation: Callable[[], LabelledSet] | None = None
    summary: str = ""

    def read(self) -> Splits:
        """Read both parts."""
        return Splits(self.name, self.train(), self.test(), self.summary)


def _open(data: DataSettings, model: ModelConfig, directory: Path | None) -> Parts:
    parts: Parts = builder("data", data)(data, model, directory)
    return parts


def read_splits(config: Config, directory: Path | None = None) -> Splits:
    """Read the data set that an experiment names, or find its photos where they are decoded when they are used.

    With ``data.validation`` what is held out of the training images stands in the place of the test images, which are
    not read. ``directory`` holds the named sets. Raises :class:`DataError` as :func:`load` and :func:`open_photos` do.
    """
    data = config.data
    parts = _open(data, config, directory)
    if not data.validation:
        return parts.read()
    if parts.validation is not None:
        return replace(parts, test=parts.validation).read()
    train = parts.train()
    whole = Splits(parts.name, train, cast(LabelledSet, train), parts.summary)
    return hold_out(whole, data.validation, config.seed)


def read_test(data: DataSettings, model: ModelConfig, directory: Path | None = None) -> LabelledSet:
    """Read the test part of a data set for a model of its kind, and nothing else."""
    return _open(data, model, directory).test()


def load(
    name: str,
    directory: str | os.PathLike[str] | None = None,
    *,
    size: int | None = None,
    channels: int | None = None,
    crop: float = 1.0,
    limit: int = UNREADABLE_LIMIT,
) -> Splits:
    """Load a data set into memory.

    Args:
        name: one of :func:`tide.data.names`, or photos as :func:`open_photos` takes them.
        directory: the folder that holds the named data sets, :func:`tide.data.default_directory` if not given;
            ignored for photos.
        size: height and width in pixels to which photos are brought; needed for photos, ignored for named sets.
        channels: 1 to load photos in grey, 3 in colour; needed for photos, ignored for named sets.
        crop: share of a photo's shorter side that its square has; ignored for named sets.
        limit: unreadable photos of a part to leave out with a warning; ignored for named sets.

    Returns:
        The training and test images. Files of named sets have been checked against their published md5.

    Raises:
        DataError: the name is unknown, or files are missing, damaged or inconsistent.
    """
    data = data_config(name)
    if not isinstance(data, FolderConfig | HubConfig):
        return load_named(name, directory)
    return _photos(data, size, channels, crop, limit).read()


def open_photos(name: str, *, size: int | None = None, channels: int | None = None, crop: float = 1.0) -> Splits:
    """Find the photos of a data set and leave them where they are, to be decoded when they are used.

    Args:
        name: ``folder:DIR`` for photos in ``DIR/train/CLASS`` and ``DIR/val/CLASS``, where DIR is relative to the
            working directory; ``hub:DIR`` with Parquet files of a data set of the Hugging Face hub, or
            ``hub:OWNER/NAME[@REVISION]`` for one on the hub itself, which need the extra ``hub``.
        size: height and width in pixels to which photos are brought.
        channels: 1 to decode photos in grey, 3 in colour.
        crop: share of a photo's shorter side that its square has in a test.

    Returns:
        The training and test photos, sorted by class and then by file name, those of the hub in the order of the
        files. No photo has been decoded.

    Raises:
        DataError: the name is another, ``size`` or ``channels`` is missing or out of range, a folder is missing or
            empty, or the classes of the parts differ.
    """
    data = data_config(name)
    if not isinstance(data, FolderConfig | HubConfig):
        raise DataError(f"photos must be folder:DIR or hub:DIR, got {name!r}; named sets fit into memory, load them")
    return _photos(data, size, channels, crop).read()


def _photos(
    data: FolderConfig | HubConfig, size: int | None, channels: int | None, crop: float, limit: int | None = None
) -> Parts:
    """Open photos; with a ``limit`` of unreadable ones they are decoded into memory."""
    decoder = MiddleSquare(crop)

    def finish(photos: PhotoSet) -> PhotoSet | ImageSet:
        return photos if limit is None else photos.decoded_with(Decoding(limit=limit)).select(slice(None))

    if isinstance(data, HubConfig):
        place, files = parquet_files(absolute_place(data.name))

        def of_hub(part: str) -> PhotoSet | ImageSet:
            return finish(open_part(place, files, part, size, channels, decoder))

        return Parts(HubConfig(name=place).title, partial(of_hub, "train"), partial(of_hub, "val"))
    directory = Path(data.name).expanduser()
    classes = scan_folder(directory)

    def of_folder(part: str) -> PhotoSet | ImageSet:
        return finish(PhotoSet.of_files(classes[part], tuple(classes[part]), size, channels, decoder))

    name, text = FolderConfig(name=str(directory)).title, summary(directory, classes)
    return Parts(name, partial(of_folder, "train"), partial(of_folder, "val"), summary=text)


@register("data", NamedDataConfig)
def _open_named(data: NamedDataConfig, model: ModelConfig, directory: Path | None) -> Parts:
    _image(data, model)
    splits = load_named(data.name, directory)
    return Parts(splits.name, lambda: splits.train, lambda: splits.test)


@register("data", FolderConfig)
@register("data", HubConfig)
def _open_photos(data: FolderConfig | HubConfig, model: ModelConfig, directory: Path | None) -> Parts:
    image = _image(data, model)
    in_memory = isinstance(data, FolderConfig) and data.photos == "in_memory"
    return _photos(data, image.size, image.channels, image.crop, data.unreadable_limit if in_memory else None)


@register("data", DrawnConfig)
def _open_drawn(data: DrawnConfig, model: ModelConfig, directory: Path | None) -> Parts:
    def train() -> TrainingSet:
        assert isinstance(model, Config)  # a model alone is not trained
        return drawn_training(model, directory)

    return Parts(
        data.name,
        train,
        lambda: drawn_test(data.name, model, directory),
        lambda: drawn_validation(data, model, directory),
    )


def _image(data: DataSettings, model: ModelConfig) -> ImageConfig:
    if not isinstance(model.input, ImageConfig):
        raise DataError(f"data.name must be a task, as the model takes a {model.input.kind}, got images: {data.name}")
    return model.input

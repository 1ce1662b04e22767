"""Photos in Parquet files, as data sets of the Hugging Face hub have them, read from a local copy."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import torch

from tide.data.photo import check_format
from tide.data.photo_set import PhotoSet, PhotoSplits
from tide.errors import DataError

# What the parts may be called, the preferred name first: the labels of a part called test are often kept secret.
_PARTS = {"train": ("train", "training"), "test": ("validation", "val", "valid", "dev", "test")}
_COLUMNS = ("image", "label")


@dataclass(frozen=True)
class HubPhotos:
    """Photos in the rows of a table.

    Attributes:
        table: a ``datasets.Dataset`` whose column ``image`` gives encoded bytes or a path.
        title: where the table comes from, for messages.
    """

    table: Any = field(repr=False)
    title: str

    def __len__(self) -> int:
        """Return the number of photos."""
        return len(self.table)

    def name(self, index: int) -> str:
        """Return the place of photo ``index``: rows have no names of their own."""
        return f"{self.title}, row {index}"

    def open(self, index: int) -> str | IO[bytes]:
        """Return the path or the bytes of photo ``index``.

        Raises:
            DataError: the row has neither, or the table is damaged.
        """
        try:
            photo = self.table[index]["image"] or {}
        except Exception as error:  # a damaged table may raise anything
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(
                f"{self.name(index)}: unreadable row met ({reason}), a whole table wanted: restore its files"
            ) from error
        if photo.get("bytes") is not None:
            return _NamedBytes(photo["bytes"], self.name(index))
        if photo.get("path") is not None:
            return str(photo["path"])
        raise DataError(f"{self.name(index)}: no photo met, the bytes of one wanted: remove the row")


class _NamedBytes(io.BytesIO):
    """A file of bytes with a name for messages."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = name


def open_hub(directory: Path, size: int | None, channels: int | None) -> PhotoSplits:
    """Open the photos in the Parquet files below ``directory``.

    The files belong to the part that they or their folder are named after: ``train-00000-of-00002.parquet`` or
    ``train/0000.parquet``, and for tests ``validation``, or ``test`` where that is missing. They have a column
    ``image`` and a column ``label`` that knows the names of its classes. The library ``datasets`` copies them into its
    cache once, since rows in any order cannot be read from Parquet itself; nothing is downloaded.

    Args:
        directory: a local copy of the data set.
        size: height and width of the decoded images in pixels.
        channels: 1 for gray or 3 for colour.

    Returns:
        Both parts, photos in the order of the files, named ``hub:`` and the directory.

    Raises:
        DataError: the library is missing, files are missing or damaged, a column is missing or of another kind, the
            classes of the parts differ, or ``size`` or ``channels`` is missing or out of range.
    """
    size, channels = check_format(size, channels)
    parts = {part: _open_part(directory, part, size, channels) for part in _PARTS}
    return PhotoSplits(f"hub:{directory}", **parts)


def _open_part(directory: Path, part: str, size: int, channels: int) -> PhotoSet:
    files, name = _files_of(directory, part)
    table = _read(files, directory)
    title = f"{directory}, {name}"
    for column, kind in zip(_COLUMNS, ("Image", "ClassLabel"), strict=True):
        met = type(table.features[column]).__name__ if column in table.features else "nothing"
        if met != kind:
            raise DataError(
                f"{title}: {met} as column {column!r} met, {kind} wanted: write the files with these features"
            )
    labels = table.select_columns(["label"])[:]["label"]
    if None in labels:
        raise DataError(f"{title}: no label in row {labels.index(None)} met, a class wanted: remove the row")
    photos = table.select_columns(["image"]).cast_column("image", type(table.features["image"])(decode=False))
    classes = tuple(table.features["label"].names)
    return PhotoSet(HubPhotos(photos, title), torch.tensor(labels, dtype=torch.int64), classes, size, channels)


def _files_of(directory: Path, part: str) -> tuple[list[str], str]:
    """Return the files of a part, sorted by path, and what the part is called there."""
    files = sorted(directory.rglob("*.parquet"))
    for name in _PARTS[part]:
        found = [str(file) for file in files if name in (file.stem.split("-")[0], file.parent.name)]
        if found:
            return found, name
    raise DataError(
        f"{directory}: no Parquet files of a part called {' or '.join(_PARTS[part])} met, "
        f"{_PARTS[part][0]}-*.parquet wanted: download the data set there"
    )


def _read(files: list[str], directory: Path) -> Any:
    """Return the rows of Parquet files as a ``datasets.Dataset``."""
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise DataError(f"{directory}: {error} met, datasets wanted: run `pip install 'tide-dynamics[hub]'`") from error
    try:
        # Named files and a reader of the library's own: no code that lies in the folder is run.
        return load_dataset("parquet", data_files={"train": files}, split="train")
    except Exception as error:  # damaged files may raise anything
        reason = " ".join(str(error.__cause__ or error).split()) or type(error).__name__
        raise DataError(
            f"{directory}: unreadable Parquet files met ({reason}), whole ones of one kind wanted: restore them"
        ) from error

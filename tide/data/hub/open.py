"""Photos in Parquet files, as data sets of the Hugging Face hub have them: read from a local copy or from the hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any

import torch

from tide.config import HubConfig
from tide.data.hub.files import files_of_part, parquet_files
from tide.data.hub.parquet import RowGroups
from tide.data.hub.photo_stream import PhotoStream
from tide.data.photos.decode import check_format
from tide.data.photos.jobs import Decoder
from tide.data.photos.photo_set import PhotoSet
from tide.data.photos.sources import open_encoded
from tide.data.sets import Splits, TrainingSet
from tide.errors import DataError, one_line

_COLUMNS = {"image": "Image", "label": "ClassLabel"}


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

    def size(self, index: int) -> int | None:
        """Return None: the bytes lie inside other files."""
        return None

    def open(self, index: int) -> str | IO[bytes]:
        """Return the path or the bytes of photo ``index``.

        Raises:
            DataError: the row has neither, or the table is damaged.
        """
        try:
            photo = self.table[index]["image"]
        except Exception as error:  # a damaged table may raise anything
            raise DataError(
                f"{self.name(index)}: unreadable row ({one_line(error)}), a whole table is wanted: restore its files"
            ) from error
        return open_encoded(photo, self.name(index))


def open_hub(place: str, size: int | None, channels: int | None, decoder: Decoder, buffer: int = 0) -> Splits:
    """Open the photos in the Parquet files of a data set.

    Its parts are told apart as :func:`tide.data.hub.files.files_of_part` describes; tests take ``validation``, or
    ``test`` where that is missing. The files have a column ``image`` and a column ``label`` that knows the names of its
    classes. The library ``datasets`` copies them into its cache once, downloading those on the hub, since rows in any
    order cannot be read from Parquet itself. With a ``buffer`` the training photos are neither copied nor downloaded.

    Args:
        place: a folder, or ``OWNER/NAME`` or ``OWNER/NAME@REVISION`` of a data set on the hub.
        size: height and width of the decoded images in pixels.
        channels: 1 for grey or 3 for colour.
        decoder: how a photo becomes an image in a test.
        buffer: how many training photos to shuffle together, read from their files while training; 0 for all.

    Returns:
        Both parts, photos in the order of the files, named ``hub:`` and the place, on the hub with its commit.

    Raises:
        DataError: the library is missing, files are missing or damaged, a column is missing or of another kind, the
            classes of the parts differ, or ``size`` or ``channels`` is missing or out of range.
    """
    size, channels = check_format(size, channels)
    place, files = parquet_files(place)
    train: TrainingSet
    if buffer:
        train = _stream(place, files, size, channels, buffer)
    else:
        train = _table(place, files, "train", size, channels, decoder)
    return Splits(HubConfig(name=place).title, train, _table(place, files, "val", size, channels, decoder))


def open_hub_test(place: str, size: int | None, channels: int | None, decoder: Decoder) -> PhotoSet:
    """Open the test photos of a data set and leave its training photos alone: see :func:`open_hub`."""
    size, channels = check_format(size, channels)
    return _table(*parquet_files(place), "val", size, channels, decoder)


def _table(place: str, files: Mapping[str, str], part: str, size: int, channels: int, decoder: Decoder) -> PhotoSet:
    found, name = files_of_part(place, files, part)
    title = f"{place}, {name}"
    datasets = _library(place)
    try:
        # Named files and a reader of the library's own: no code that lies beside them is run.
        table = datasets.load_dataset("parquet", data_files={"train": found}, split="train")
    except Exception as error:  # damaged files may raise anything
        raise DataError(
            f"{place}: unreadable Parquet files ({one_line(error.__cause__ or error)}), whole ones of one kind "
            "are wanted: restore them"
        ) from error
    classes = _classes(table.features, title)
    labels = table.select_columns(["label"])[:]["label"]
    if None in labels:
        raise DataError(f"{title}: no label in row {labels.index(None)}, a class is wanted: remove the row")
    photos = table.select_columns(["image"]).cast_column("image", datasets.Image(decode=False))
    return PhotoSet(HubPhotos(photos, title), torch.tensor(labels, dtype=torch.int64), classes, size, channels, decoder)


def _stream(place: str, files: Mapping[str, str], size: int, channels: int, buffer: int) -> PhotoStream:
    found, name = files_of_part(place, files, "train")
    title, datasets = f"{place}, {name}", _library(place)
    source = RowGroups(found, title)
    classes = [
        _described(datasets, schema, file, title) for file, schema in zip(source.files, source.schemas, strict=True)
    ]
    for file, met in zip(source.files, classes, strict=True):
        if met != classes[0]:
            raise DataError(
                f"{file}: classes are {', '.join(met[:5])}..., {', '.join(classes[0][:5])}... are wanted as in the "
                "first file, in this order: write all files of a part with the same classes"
            )
    return PhotoStream(source, classes[0], size, channels, buffer)


def _described(datasets: Any, schema: Any, file: str, title: str) -> tuple[str, ...]:
    """Return the names of the classes in a file that can be streamed; raises :class:`DataError` for another."""
    try:
        features = datasets.Features.from_arrow_schema(schema)
    except Exception as error:  # metadata may say anything
        raise DataError(
            f"{title}: unreadable description of the columns in {file} ({one_line(error)}), that of an Image "
            "and a ClassLabel is wanted: update datasets, or write the files anew"
        ) from error
    _check_stored(schema, file)
    return _classes(features, file)


def _check_stored(schema: Any, file: str) -> None:
    """Raise :class:`DataError` unless rows hold what a stream reads, whatever their description says."""
    import pyarrow.types as types

    for column, kind, fits in (("image", "struct", types.is_struct), ("label", "integer", types.is_integer)):
        if column in schema.names and not fits(schema.field(column).type):
            raise DataError(
                f"{file}: column {column!r} is stored as {schema.field(column).type}, {kind} is wanted: write the file "
                "with the library datasets, or set data.shuffle_buffer to 0"
            )


def _classes(features: Any, title: str) -> tuple[str, ...]:
    """Return the names of the classes; raises :class:`DataError` where a column is not of the kind wanted."""
    for column, kind in _COLUMNS.items():
        met = type(features[column]).__name__ if column in features else "nothing"
        if met != kind:
            raise DataError(
                f"{title}: column {column!r} is {met}, {kind} is wanted: write the files with these features"
            )
    return tuple(features["label"].names)


def _library(place: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise DataError(f"{place}: {error}, datasets is wanted: run `pip install 'tide-dynamics[hub]'`") from error
    return datasets

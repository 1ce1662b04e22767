"""Photos in Parquet files, as data sets of the Hugging Face hub have them: in a local copy or on the hub itself.

The library ``datasets`` copies them once into its cache, a memory-mapped Arrow table, where they can be taken in any
order; so photos of the hub are a set like any other.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

import torch

from tide.data.decode import check_format
from tide.data.folders import PARTS
from tide.data.photos import Decoder, PhotoSet
from tide.errors import DataError, one_line

_REPOSITORY = re.compile(r"(?P<id>\w[\w.-]*/\w[\w.-]*)(?P<folder>(/\w[\w.-]*)*)(@(?P<revision>[\w./-]+))?")
_ANSWERS_WITHIN = 30.0  # seconds
_COLUMNS = {"image": "Image", "label": "ClassLabel"}


def is_repository(place: str) -> bool:
    """Tell whether ``place`` names a data set on the hub: ``OWNER/NAME``, then perhaps ``/FOLDER`` and ``@REVISION``.

    A folder that is here comes first, unless a revision is named.
    """
    parts = _REPOSITORY.fullmatch(place)
    return parts is not None and (parts["revision"] is not None or not Path(place).exists())


def absolute_place(place: str) -> str:
    """Return a folder by its absolute path, and the name of a data set on the hub as it is."""
    return place if is_repository(place) else str(Path(place).expanduser().resolve())


def parquet_files(place: str) -> tuple[str, dict[str, str]]:
    """Return a data set's place and the paths of its Parquet files, sorted, by their paths within the place.

    ``place`` is a folder, or a data set on the hub as :func:`is_repository` describes. The place of one on the hub gets
    its commit as revision, so that it stands for this version; its files have addresses ``hf://datasets/...``. Raises
    :class:`DataError` where there is no such folder, the hub does not answer, or has no such data set.
    """
    if is_repository(place):
        return _files_on_hub(place)
    folder = Path(place)
    if not place or not folder.is_dir():
        raise DataError(f"hub:{place} must be hub:DIR or hub:OWNER/NAME, got no folder that exists; check the path")
    return place, {file.relative_to(folder).as_posix(): str(file) for file in sorted(folder.rglob("*.parquet"))}


def _files_on_hub(place: str) -> tuple[str, dict[str, str]]:
    from huggingface_hub import HfApi

    parts = _REPOSITORY.fullmatch(place)
    assert parts is not None
    try:
        about = HfApi().dataset_info(parts["id"], revision=parts["revision"], timeout=_ANSWERS_WITHIN)
    except Exception as error:  # of the hub's library or of its network library
        raise DataError(
            f"{place}: no folder and no answer of the hub ({one_line(error)}); check the name, which must be a folder "
            "or OWNER/NAME[@REVISION], and the network; for a closed data set set HF_TOKEN"
        ) from error
    root, folder = f"hf://datasets/{parts['id']}@{about.sha}", parts["folder"].removeprefix("/")
    paths = sorted(PurePosixPath(file.rfilename) for file in about.siblings or ())
    files = {
        path.relative_to(folder).as_posix(): f"{root}/{path}"
        for path in paths
        if path.suffix == ".parquet" and path.is_relative_to(folder)
    }
    return f"{parts['id']}{parts['folder']}@{about.sha}", files


def files_of_part(place: str, files: Mapping[str, str], part: str) -> tuple[list[str], str]:
    """Return the files of part ``train`` or ``val`` and what the part is called in this data set.

    The files belong to the part that they or their folder are named after: ``train-00000-of-00002.parquet`` or
    ``train/0000.parquet``. Raises :class:`DataError` where there are none, or where they lie in several folders, as
    those of several data sets do.
    """
    for name in PARTS[part]:
        folder_of: dict[str, PurePosixPath] = {}
        for inner, file in files.items():
            path = PurePosixPath(inner)
            if name in (path.stem.split("-")[0], path.parent.name):
                folder_of[file] = path.parent.parent if path.parent.name == name else path.parent
        folders = sorted({str(folder) for folder in folder_of.values()})
        if len(folders) > 1:
            raise DataError(
                f"{place}: files of {name} must be in one folder, got {', '.join(folders)}; name the one to take, as "
                "in hub:DIR/FOLDER or hub:OWNER/NAME/FOLDER"
            )
        if folder_of:
            return list(folder_of), name
    raise DataError(
        f"{place}: no Parquet files {PARTS[part][0]}-*.parquet of a part called {' or '.join(PARTS[part])}; use a data "
        "set that has this part, in files of this kind"
    )


class _NamedBytes(io.BytesIO):
    """A file of bytes with a name for messages."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = name


@dataclass(frozen=True)
class HubPhotos:
    """Photos in the rows of a table: a :class:`~tide.data.photos.PhotoSource`.

    ``table`` is a ``datasets.Dataset`` whose column ``image`` gives encoded bytes or a path; ``title`` says where it
    comes from.
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
        """Return the path or the bytes of photo ``index``; raises :class:`DataError` where there are none."""
        try:
            photo = self.table[index]["image"] or {}
        except Exception as error:  # a damaged table may raise anything
            raise DataError(f"{self.name(index)}: unreadable row ({one_line(error)}); restore the files") from error
        if photo.get("bytes") is not None:
            return _NamedBytes(photo["bytes"], self.name(index))
        if photo.get("path") is not None:
            return str(photo["path"])
        raise DataError(f"{self.name(index)}: no photo; remove the row")


def open_part(
    place: str, files: Mapping[str, str], part: str, size: int | None, channels: int | None, decoder: Decoder
) -> PhotoSet:
    """Open the photos of part ``train`` or ``val`` of a data set, which are brought here where they are on the hub.

    ``place`` and ``files`` are as :func:`parquet_files` gives them. The files have a column ``image`` and a column
    ``label`` that knows the names of its classes. The photos come in the order of the files; none is decoded. Raises
    :class:`DataError` where the library or files are missing or damaged, a column is missing or of another kind, or
    ``size`` (pixels) or ``channels`` is out of range.
    """
    size, channels = check_format(size, channels)
    paths, name = files_of_part(place, files, part)
    title = f"{place}, {name}"
    try:
        import datasets
    except ImportError as error:
        raise DataError(f"{place}: {error}; run `pip install 'tide-dynamics[hub]'`") from error
    try:
        # Named files and a reader of the library's own: no code that lies beside them is run.
        table = datasets.load_dataset("parquet", data_files={"train": paths}, split="train")
    except Exception as error:  # damaged files may raise anything
        reason = one_line(error.__cause__ or error)
        raise DataError(f"{place}: unreadable Parquet files ({reason}); restore them") from error
    for column, kind in _COLUMNS.items():
        actual = type(table.features[column]).__name__ if column in table.features else "nothing"
        if actual != kind:
            raise DataError(
                f"{title}: column {column!r} must be {kind}, got {actual}; write the files with these features"
            )
    labels = table.select_columns(["label"])[:]["label"]
    if None in labels:
        raise DataError(f"{title}: row {labels.index(None)} must have a label, got none; remove the row")
    classes = tuple(table.features["label"].names)
    photos = table.select_columns(["image"]).cast_column("image", datasets.Image(decode=False))
    return PhotoSet(HubPhotos(photos, title), torch.tensor(labels, dtype=torch.int64), classes, size, channels, decoder)

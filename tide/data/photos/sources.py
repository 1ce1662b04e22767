"""Where photos come from: anything that can count, name and open them."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import numpy as np
from torch import Tensor

from tide.errors import DataError


class NamedPhotos(Protocol):
    """Photos that can be counted and named, by number from 0."""

    def __len__(self) -> int:
        """Return the number of photos."""
        ...

    def name(self, index: int) -> str:
        """Return what a message calls photo ``index``."""
        ...


class PhotoSource(NamedPhotos, Protocol):
    """Photos by number, from 0. Worker processes get a copy, so it must survive pickling."""

    def size(self, index: int) -> int | None:
        """Return the size of photo ``index`` in bytes where that is known without reading it."""
        ...

    def open(self, index: int) -> str | IO[bytes]:
        """Return the path of photo ``index`` or a file of its bytes, whose ``name`` is that of the photo.

        Raises:
            DataError: the bytes cannot be read.
        """
        ...


class PhotoFiles:
    """Photos that are files of their own.

    The paths lie in one piece of memory that worker processes share. Of separate texts a worker would come to own a
    copy merely by reading them, since Python counts the references to a text in the text itself.
    """

    def __init__(self, files: Iterable[str]) -> None:
        """Keep the paths ``files``."""
        paths = [os.fsencode(file) for file in files]
        self._paths = b"".join(paths)
        self._edges = np.cumsum([0, *map(len, paths)], dtype=np.int64)

    def __len__(self) -> int:
        """Return the number of photos."""
        return len(self._edges) - 1

    def name(self, index: int) -> str:
        """Return the path of photo ``index``."""
        return os.fsdecode(self._paths[self._edges[index] : self._edges[index + 1]])

    def size(self, index: int) -> int | None:
        """Return the size of file ``index`` in bytes, None where it is gone."""
        try:
            return Path(self.name(index)).stat().st_size
        except OSError:
            return None

    def open(self, index: int) -> str:
        """Return the path of photo ``index``."""
        return self.name(index)


class ChosenPhotos:
    """Some photos of a source, numbered anew."""

    def __init__(self, source: PhotoSource, positions: Tensor) -> None:
        """Keep those at ``positions`` (n,)."""
        self._source, self._positions = source, positions.numpy()

    def __len__(self) -> int:
        """Return the number of photos."""
        return len(self._positions)

    def name(self, index: int) -> str:
        """Return what a message calls photo ``index``."""
        return self._source.name(int(self._positions[index]))

    def size(self, index: int) -> int | None:
        """Return the size of photo ``index`` in bytes where the source knows it."""
        return self._source.size(int(self._positions[index]))

    def open(self, index: int) -> str | IO[bytes]:
        """Return the path or a file of photo ``index``; raises :class:`DataError` as the source does."""
        return self._source.open(int(self._positions[index]))


class _NamedBytes(io.BytesIO):
    """A file of bytes with a name for messages."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = name


def open_encoded(value: Mapping[str, Any] | None, name: str) -> str | IO[bytes]:
    """Return the path or the bytes that the column ``image`` of a row has.

    Args:
        value: ``bytes`` and ``path`` of the photo, of which one may be None.
        name: what a message calls the photo.

    Raises:
        DataError: it has neither.
    """
    value = value or {}
    if value.get("bytes") is not None:
        return _NamedBytes(value["bytes"], name)
    if value.get("path") is not None:
        return str(value["path"])
    raise DataError(f"{name}: no photo, the bytes of one is wanted: remove the row")


class EncodedPhoto(NamedTuple):
    """One row: its position in the part, the number of its class, its name for messages, and its column ``image``."""

    position: int
    label: int
    name: str
    value: Mapping[str, Any] | None


class EncodedPhotos:
    """A few photos that have been read and wait to be decoded: a :class:`PhotoSource`."""

    def __init__(self, photos: Sequence[EncodedPhoto]) -> None:
        """Keep ``photos``, which are numbered from 0 here."""
        self.photos = tuple(photos)

    def __len__(self) -> int:
        """Return the number of photos."""
        return len(self.photos)

    def name(self, index: int) -> str:
        """Return what a message calls photo ``index``."""
        return self.photos[index].name

    def size(self, index: int) -> int | None:
        """Return None: the bytes lie inside other files."""
        return None

    def open(self, index: int) -> str | IO[bytes]:
        """Return the path or the bytes of photo ``index``; raises :class:`DataError` where there is neither."""
        return open_encoded(self.photos[index].value, self.name(index))

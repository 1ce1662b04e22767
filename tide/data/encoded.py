"""Photos as their encoded bytes, the way a row of a table has them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import IO, Any, NamedTuple

from tide.errors import DataError


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
    raise DataError(f"{name}: no photo met, the bytes of one wanted: remove the row")


class EncodedPhoto(NamedTuple):
    """One row: its position in the part, the number of its class, its name for messages, and its column ``image``."""

    position: int
    label: int
    name: str
    value: Mapping[str, Any] | None


class EncodedPhotos:
    """A few photos that have been read and wait to be decoded: a :class:`~tide.data.source.PhotoSource`."""

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

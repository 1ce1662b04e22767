"""Where photos come from: anything that can count, name and open them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Protocol

import numpy as np
from torch import Tensor

from tide.data.photos import NamedPhotos


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

"""Where photos come from: anything that can count, name and open them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO, Protocol


class PhotoSource(Protocol):
    """Photos by number, from 0. Worker processes get a copy, so it must survive pickling."""

    def __len__(self) -> int:
        """Return the number of photos."""
        ...

    def name(self, index: int) -> str:
        """Return what a message calls photo ``index``."""
        ...

    def open(self, index: int) -> str | IO[bytes]:
        """Return the path of photo ``index`` or a file of its bytes, whose ``name`` is that of the photo.

        Raises:
            DataError: the bytes cannot be read.
        """
        ...


@dataclass(frozen=True)
class PhotoFiles:
    """Photos that are files of their own.

    Attributes:
        files: their paths.
    """

    files: Sequence[str] = field(repr=False)

    def __len__(self) -> int:
        """Return the number of photos."""
        return len(self.files)

    def name(self, index: int) -> str:
        """Return the path of photo ``index``."""
        return self.files[index]

    def open(self, index: int) -> str:
        """Return the path of photo ``index``."""
        return self.files[index]

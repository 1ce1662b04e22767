"""Photos in Parquet files, read one row group at a time: the least that can be read of such a file at once."""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path
from typing import IO, Any, NamedTuple

from tide.data.photos.sources import EncodedPhoto
from tide.errors import DataError, one_line

_FOOTERS_AT_ONCE = 16


class _Group(NamedTuple):
    """Where a row group lies: its file, its number there, and its number of rows."""

    file: int
    number: int
    rows: int


class RowGroups:
    """The photos of one part of a data set.

    Attributes:
        title: where the photos come from, for messages.
        files: the Parquet files.
        schemas: the Arrow schema of each file, whose metadata describe the columns.
        sizes: the number of rows of each row group, at least 1, in the order of the files.
    """

    def __init__(self, files: Sequence[str], title: str) -> None:
        """Read the footers of ``files``, paths or addresses ``hf://...`` of the hub.

        Raises:
            DataError: a file cannot be read or is damaged.
        """
        self.title, self.files = title, tuple(files)
        self._hub: Any = None
        if any(_is_remote(file) for file in files):
            from huggingface_hub import HfFileSystem

            self._hub = HfFileSystem()  # one for all threads: it remembers what it learned of the files
        first, *others = files
        footers = [self._footer(first)]
        with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as pool:
            footers += pool.map(self._footer, others)
        self._footers = footers
        self.schemas = [footer.schema.to_arrow_schema() for footer in footers]
        groups = [
            _Group(place, number, footer.row_group(number).num_rows)
            for place, footer in enumerate(footers)
            for number in range(footer.num_row_groups)
        ]
        self._groups = [group for group in groups if group.rows > 0]
        self.sizes = tuple(group.rows for group in self._groups)
        self._ends = list(accumulate(self.sizes))

    def __len__(self) -> int:
        """Return the number of photos."""
        return self._ends[-1] if self._ends else 0

    def name(self, position: int) -> str:
        """Return what a message calls a photo: rows have no names of their own."""
        return f"{self.title}, row {position}"

    def group_of(self, position: int) -> int:
        """Return the number of the row group that the photo at ``position`` lies in."""
        return bisect_right(self._ends, position)

    def read(self, group: int) -> list[EncodedPhoto]:
        """Read all photos of a row group, in their order.

        Raises:
            DataError: the file cannot be read or is damaged, or a row has no label.
        """
        import pyarrow.parquet as pq

        place, number, rows = self._groups[group]
        try:
            with self._opened(self.files[place]) as file:
                reader = pq.ParquetFile(file, metadata=self._footers[place])
                table = reader.read_row_group(number, columns=["image", "label"])
                images, labels = table["image"].to_pylist(), table["label"].to_pylist()
        except Exception as error:  # of the network, of the hub, or of a damaged file
            raise self._unreadable(self.files[place], error) from error
        first = self._ends[group] - rows
        if None in labels:
            raise DataError(f"{self.name(first + labels.index(None))}: no label, a class is wanted: remove the row")
        return [
            EncodedPhoto(first + row, label, self.name(first + row), image)
            for row, (image, label) in enumerate(zip(images, labels, strict=True))
        ]

    def checksum(self) -> int:
        """Return a number that two copies of the same files share, wherever they lie; on the hub, of one version."""
        names = "\n".join(file if _is_remote(file) else Path(file).name for file in self.files)
        return zlib.crc32(repr(self.sizes).encode(), zlib.crc32(names.encode()))

    def _footer(self, path: str) -> Any:
        import pyarrow.parquet as pq

        try:
            with self._opened(path) as file:
                return pq.read_metadata(file)
        except Exception as error:
            raise self._unreadable(path, error) from error

    def _opened(self, path: str) -> IO[bytes]:
        """Open a file here or on the hub, of which only the parts asked for are transferred."""
        if not _is_remote(path):
            return Path(path).open("rb")
        remote: IO[bytes] = self._hub.open(path, "rb", cache_type="none")
        return remote

    def _unreadable(self, path: str, error: Exception) -> DataError:
        return DataError(
            f"{self.title}: unreadable Parquet file {path} ({one_line(error)}), a whole one is wanted: restore it, or "
            "check the network and resume"
        )


def _is_remote(path: str) -> bool:
    return path.startswith("hf://")

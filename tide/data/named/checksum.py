"""Whether a file is the one that was published, and what to do when it is not."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tide.errors import DataError


def md5_of(path: Path) -> str:
    """Return the md5 of a file as 32 hexadecimal digits.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            # A guard against damage, not against an adversary; md5 is what the publishers give.
            return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}, a readable file is wanted: check the path") from error


def verify(path: Path, md5: str, name: str) -> None:
    """Check a file of the data set ``name`` against its published md5.

    Raises:
        DataError: the file cannot be read or is another one.
    """
    found = md5_of(path)
    if found != md5:
        raise DataError(f"{path}: md5 is {found}, {md5} is wanted: {remedy(name)}")


def remedy(name: str) -> str:
    """Return what to do about a damaged file of the data set ``name``."""
    return f"delete it and run `tide data fetch {name}`"

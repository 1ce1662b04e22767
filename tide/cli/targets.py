"""Whether what a command makes can be written, asked before the work and not after it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tide.errors import InputError


def check_file(option: str, path: Path | None) -> None:
    """Raise :class:`InputError` unless a file of this name can be written; it is left as it is."""
    if path is None:
        return
    new = not path.exists()
    try:
        path.open("ab").close()
        if new:
            path.unlink()
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; give another file with {option}") from error


def check_folder(option: str, path: Path | None) -> None:
    """Raise :class:`InputError` unless files can be written into a folder of this name; it is left as it is."""
    if path is None:
        return
    new = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
        for folder in new:
            folder.rmdir()
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; give another folder with {option}") from error

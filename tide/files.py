"""JSON, errors of writing in one line, one writer per folder, tables and numbers in Markdown."""

from __future__ import annotations

import json
import math
import os
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tide.errors import CheckpointError, InputError, one_line

# JSON files that hold a mapping, read with care and written without NaN.


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the mapping that a JSON file holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON, is nested beyond reason, or holds something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError(f"it holds a {type(value).__name__}, no mapping")
    return value


def finite(value: Any) -> Any:
    """Return a value for JSON, which has no NaN and no infinity: null is in their place, in nested ones too."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# What is written, and what cannot be: one line that names the place, the reason and the remedy.


@contextmanager
def writing(
    target: Path, remedy: str = "give another --out", error: type[InputError] = InputError, what: str = ""
) -> Iterator[None]:
    """Raise ``error`` in one line where the block cannot write ``target``; ``what`` says what that is."""
    try:
        yield
    except OSError as failure:
        reason = failure.strerror or one_line(failure)
        raise error(f"cannot write {what}{' ' * bool(what)}{target}: {reason}; {remedy}") from failure


def write_json(path: Path, value: Any) -> None:
    """Write a value that JSON holds; raises OSError."""
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def check_file(option: str, path: Path | None) -> None:
    """Raise :class:`InputError` unless a file of this name can be written; it is left as it is."""
    if path is None:
        return
    new = not path.exists()
    with writing(path, f"give another file with {option}"):
        path.open("ab").close()
        if new:
            path.unlink()


def check_folder(option: str, path: Path | None) -> None:
    """Raise :class:`InputError` unless files can be written into a folder of this name; it is left as it is."""
    if path is None:
        return
    new = [folder for folder in (path, *path.parents) if not folder.exists()]
    with writing(path, f"give another folder with {option}"):
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
        for folder in new:
            folder.rmdir()


# One writer per folder: two processes that go on with the same run would interleave their lines and checkpoints.


LOCK, WRITER = ".lock", ".writer"  # the file that is locked, and the one that names who holds it
POLL = 0.2  # seconds between looks at a lock that is waited for


@contextmanager
def only_writer(folder: Path, message: Callable[[str], None], *, wait: float = 0.0) -> Iterator[None]:
    """Hold ``folder`` for this process for the time of the block; it must exist.

    The system frees the lock of a process that ends, however it ends; what names that process then stays, and whoever
    comes next takes over and says so by ``message``. ``wait`` is for how many seconds to wait for another writer.

    Raises:
        CheckpointError: another process holds the folder, on this machine or on another that shares the disk.
    """
    from filelock import FileLock, Timeout

    lock, note = FileLock(folder / LOCK), folder / WRITER
    try:
        lock.acquire(timeout=wait, poll_interval=POLL)
    except Timeout:
        holder = _writer(note) or "another process"
        raise CheckpointError(f"{folder} is being written by {holder}; wait for it or stop it") from None
    except (OSError, NotImplementedError) as error:  # the second where the disk has no locks
        raise CheckpointError(f"cannot lock {folder}: {one_line(error)}; give another --out") from error
    try:
        if (dead := _writer(note)) is not None:
            message(f"taking over {folder} from {dead}, which ended without saying so")
        with suppress(OSError):  # a full disk: the lock itself needs no room
            note.write_text(json.dumps({"process": os.getpid(), "host": socket.gethostname()}), encoding="utf-8")
        try:
            yield
        finally:
            with suppress(OSError):
                note.unlink(missing_ok=True)
    finally:
        lock.release()


def _writer(note: Path) -> str | None:
    """Return who a folder says is writing it, None where it names nobody."""
    try:
        writer = read_mapping(note)
        return f"process {int(writer['process'])} on {str(writer['host'])[:100]}"
    except (OSError, ValueError, TypeError, KeyError):
        return None


# Tables and numbers of reports, as Markdown.


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return the lines of a table."""

    def line(cells: Sequence[object]) -> str:
        return "".join(f"| {cell} " if cell != "" else "| " for cell in cells) + "|"

    return [line(columns), "|---" * len(columns) + "|", *map(line, rows)]


def number(value: float | None, form: str = ".2f") -> str:
    """Return a number in this form, a dash for none."""
    return "-" if value is None else format(value, form)


def percent(value: float | None, form: str = ".2f") -> str:
    """Return a share in percent, without the sign, a dash for none."""
    return "-" if value is None else format(100 * value, form)

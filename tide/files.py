"""JSON files that hold a mapping, and one writer per folder."""

from __future__ import annotations

import json
import math
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tide.errors import CheckpointError, one_line

# JSON files that hold a mapping, read with care and written without NaN.


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the mapping that a JSON file holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON, is nested beyond reason, or holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError(f"it holds a {type(found).__name__}, no mapping")
    return found


def finite(value: Any) -> Any:
    """Return a value for JSON, which has no NaN and no infinity: null is in their place, in nested ones too."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


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

"""JSON files that hold a mapping, and one writer per folder."""

from __future__ import annotations

import fcntl
import json
import math
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tide.errors import CheckpointError

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


LOCK = ".lock"
POLL = 0.2  # seconds between looks at a lock that is waited for


@contextmanager
def only_writer(folder: Path, message: Callable[[str], None], *, wait: float = 0.0) -> Iterator[None]:
    """Hold ``folder`` for this process for the time of the block; it must exist.

    The system frees the lock of a process that ends, however it ends; what the lock file says then stays, and whoever
    comes next takes over and says so by ``message``. ``wait`` is for how many seconds to wait for another writer.

    Raises:
        CheckpointError: another process holds the folder, on this machine or on another that shares the disk.
    """
    try:
        file = (folder / LOCK).open("a+", encoding="utf-8")
    except OSError as error:
        raise CheckpointError(f"cannot write {folder}: {error.strerror}; mend its permissions or make room") from error
    with file:
        _take(file, folder, wait)
        left = _holder(file)
        if left is not None:
            message(f"taking over {folder} from {left}, which ended without saying so")
        _note(file, json.dumps({"process": os.getpid(), "host": socket.gethostname()}))
        try:
            yield
        finally:
            _note(file, "")


def _take(file: IO[str], folder: Path, wait: float) -> None:
    deadline = time.monotonic() + wait
    while True:
        try:
            # A record lock and not flock: worker processes that are forked later do not inherit it.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except (BlockingIOError, PermissionError):
            if time.monotonic() >= deadline:
                raise CheckpointError(
                    f"{folder} is being written by {_holder(file) or 'another process'}, one writer is wanted: wait "
                    "for it or stop it"
                ) from None
            time.sleep(POLL)
        except OSError as error:
            raise CheckpointError(
                f"{folder} cannot be locked ({error.strerror}), a disk with locks is wanted: give another --out"
            ) from error


def _holder(file: IO[str]) -> str | None:
    """Return whom the lock file names, None where it names nobody."""
    file.seek(0)
    try:
        said = json.loads(file.read(1000))
        return f"process {int(said['process'])} on {str(said['host'])[:100]}"
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _note(file: IO[str], text: str) -> None:
    try:
        file.seek(0)
        file.truncate()
        file.write(text)
        file.flush()
    except OSError:
        pass  # a full disk: the lock itself needs no room

"""Checkpoints that are whole or absent: a folder is written beside the old one and swapped in by renaming."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from tide.errors import CheckpointError, one_line
from tide.files import writing
from tide.models.saved import write_model
from tide.models.thinker import Thinker

FORMAT = 1
TRAINING = "training.pt"
DAMAGES = (
    UnpicklingError,
    RuntimeError,  # RecursionError is one
    EOFError,
    LookupError,
    AttributeError,
    OSError,
    TypeError,
    ValueError,
    MemoryError,
)
"""What reading a damaged or foreign file may raise."""


def replace_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Replace ``folder`` by what ``write`` puts into a new one.

    Whatever happens in between, the old or the new content stays whole: as ``folder``, or, for the instant between
    two renames, as ``.folder.old`` (see :func:`tide.models.saved.existing`). Raises OSError when writing fails.
    """
    new, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    if not folder.exists() and old.exists():
        old.rename(folder)  # a crash between the two renames
    for stale in (new, old):
        shutil.rmtree(stale, ignore_errors=True)
    try:
        new.mkdir(parents=True)
        write(new)
        for path in (*new.iterdir(), new):
            _flush(path)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _flush(path: Path) -> None:
    """Force a file or folder to the disk before it takes the old one's place."""
    on_windows = os.name == "nt"
    if on_windows and path.is_dir():
        return  # which Windows cannot open
    descriptor = os.open(path, os.O_RDWR if on_windows else os.O_RDONLY)  # it flushes only what may be written
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def save_checkpoint(folder: Path, model: Thinker, training: Mapping[str, Any] | None = None) -> None:
    """Save weights, and beside them what training needs to continue.

    Raises :class:`CheckpointError` when the disk is full or the folder cannot be written; the last good checkpoint
    is then intact.
    """

    def write(new: Path) -> None:
        write_model(new, model.config, model.state_dict())
        if training is not None:
            buffer = io.BytesIO()
            torch.save({"format": FORMAT, **training}, buffer)
            (new / TRAINING).write_bytes(buffer.getbuffer())

    intact = f"the last good one is intact: make room or mend permissions, then `tide train --resume {folder.parent}`"
    with writing(folder, intact, CheckpointError, "checkpoint"):
        replace_folder(folder, write)


def load_training(folder: Path) -> dict[str, Any]:
    """Read what :func:`save_checkpoint` put beside the weights; code in the file is refused, never run."""
    path = folder / TRAINING
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; only the folder `last` of a run can be resumed")
    try:
        training = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(training, dict):
            raise ValueError(f"it holds a {type(training).__name__}")
        version = training.pop("format")
    except DAMAGES as error:
        raise CheckpointError(f"{path} is damaged or no checkpoint of this library ({_reason(error)})") from error
    if version != FORMAT:
        raise CheckpointError(
            f"{path} has format {version!r}, this version reads format {FORMAT}: install the version that wrote it"
        )
    return dict(training)


def _reason(error: BaseException) -> str:
    """Return in a few words why a file could not be read: not torch's advice to switch its protection off."""
    if isinstance(error, UnpicklingError):
        return "it is no file that torch wrote, or names code, which is never run"
    return one_line(error)[:120]

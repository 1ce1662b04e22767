"""Trained weights that come with the library: ``pretrained:NAME`` wherever a run or a model is wanted."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from tide.errors import InputError, did_you_mean, shown
from tide.models.card import CARD

PRETRAINED = "pretrained:"


def names() -> tuple[str, ...]:
    """Return the names of the models that come with the library."""
    return tuple(sorted(folder.name for folder in _shelf().iterdir() if (folder / CARD).is_file()))


def shipped(name: str) -> Path:
    """Return the folder of one of :func:`names`; raises :class:`InputError` for another name."""
    if not isinstance(name, str) or name not in names():
        known = did_you_mean(name, names()) if isinstance(name, str) else ""
        raise InputError(f"no model {shown(name)} comes with the library{known}")
    return _shelf() / name


def local(path: Path) -> Path:
    """Return the folder of ``pretrained:NAME``, and any other path as it is; raises as :func:`shipped`."""
    return shipped(str(path).removeprefix(PRETRAINED)) if str(path).startswith(PRETRAINED) else path


def _shelf() -> Path:
    return Path(str(files("tide"))) / "pretrained"

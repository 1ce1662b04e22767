"""What goes wrong with input: one line that teaches, never a traceback at the command line."""

from __future__ import annotations

import difflib
import os
import unicodedata
from collections.abc import Iterable


class InputError(ValueError):
    """Something a user gave is unusable.

    The message is one line: what must hold, the value met, the remedy. The command line prints it and exits with
    code 2.
    """


class ConfigError(InputError):
    """A setting is unknown, of the wrong type or out of range."""


class DataError(InputError):
    """A data set is missing, damaged or inconsistent."""


class CheckpointError(InputError):
    """A checkpoint or run folder cannot be read, written or resumed."""


class TrainingError(InputError):
    """Training cannot go on (too many rejected steps in a row)."""


def did_you_mean(name: object, options: Iterable[str], *, known: bool = True) -> str:
    """Return ``"; did you mean 'x'?"`` for the nearest option.

    Where none is near, all of them where they are few; with ``known`` off, nothing: they stand in the message already.
    """
    options = list(options)
    if (twin := other_form(str(name), options)) is not None:
        return f"; {twin!r} differs in its Unicode form only, rename one of them"
    near = difflib.get_close_matches(str(name)[:200], options, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {near[0]!r}?"
    if not known:
        return ""
    return f"; known: {', '.join(options)}" if len(options) <= 20 else "; see --help for all"


def other_form(name: str, options: Iterable[str]) -> str | None:
    """Return the option that looks like ``name`` and has another Unicode form, as macOS writes é in two characters."""
    plain = unicodedata.normalize("NFC", name)
    return next((other for other in options if other != name and unicodedata.normalize("NFC", other) == plain), None)


def short_repr(value: object) -> str:
    """Return the ``repr`` of a value, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def one_line(error: BaseException) -> str:
    """Return what an error of another library says in one line, or its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def check_path(name: str, value: object) -> None:
    """Raise :class:`InputError` unless ``value`` is a path that is not empty."""
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise InputError(f"{name} must be a path (a text or a pathlib.Path), got {short_repr(value)}")


def check(condition: bool, message: str) -> None:
    """Raise :class:`ConfigError` with ``message`` unless ``condition`` holds."""
    if not condition:
        raise ConfigError(message)

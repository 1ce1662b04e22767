"""Command lines as dataclasses, with errors of one line."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Sequence
from typing import Any, TypeVar, get_type_hints

from tide.errors import InputError, did_you_mean

A = TypeVar("A")


def parse(cls: type[A], arguments: Sequence[str], *, prog: str, description: str, default: A | None = None) -> A:
    """Parse ``arguments`` into ``cls``; raises :class:`InputError` with one line, exits 0 after ``--help``."""
    import tyro

    _check_options(cls, arguments)
    captured = io.StringIO()
    try:
        # A frame of its own on standard error would make the message many lines: it is taken apart below.
        with contextlib.redirect_stderr(captured):
            return tyro.cli(cls, args=list(arguments), prog=prog, description=description, default=default)
    except SystemExit as leaving:
        if leaving.code == 0:
            raise
        raise InputError(_one_line(captured.getvalue(), prog)) from None


def _one_line(text: str, prog: str) -> str:
    """Return the first part of a framed message as one line."""
    lines = [line.strip("│ ").strip() for line in text.splitlines() if not line.startswith(("╭", "╰"))]
    wanted: list[str] = []
    for line in lines:
        if line and set(line) == {"─"}:
            break
        wanted.append(line)
    return f"{' '.join(' '.join(wanted).split()).rstrip('.')}; see {prog} --help"


def _check_options(cls: type[Any], arguments: Sequence[str]) -> None:
    """Name the nearest option when one is unknown."""
    known = option_names(cls)
    for argument in arguments:
        if argument.startswith("--") and argument not in ("--", "--help"):
            name = argument.split("=", 1)[0].replace("_", "-")
            if name not in known:
                raise InputError(f"unknown option {name!r}{_nearest(name, known)}")


def _nearest(name: str, known: Sequence[str]) -> str:
    """Prefer an option of the same section; the list of all options would be no help."""
    section, _, leaf = name.rpartition(".")
    leaves = {option.rpartition(".")[2]: option for option in known}
    same_leaf = [option for option in known if option.rpartition(".")[2] == (leaf if section else leaf.lstrip("-"))]
    text = did_you_mean(name, same_leaf or known)
    if not text.startswith("; did"):
        text = did_you_mean(leaf.lstrip("-"), leaves)
        if text.startswith("; did"):
            return f"; did you mean {leaves[text.split(chr(39))[1]]!r}?"
        return "; see --help"
    return text


def option_names(cls: type[Any], prefix: str = "--") -> list[str]:
    """Return every option that a dataclass gives, dotted for nested ones."""
    hints = get_type_hints(cls, include_extras=True)
    names: list[str] = []
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        name = field.name
        for extra in getattr(hint, "__metadata__", ()):
            for part in extra if isinstance(extra, tuple) else (extra,):
                given = getattr(part, "name", None)
                name = name if given is None else given
        hint = getattr(hint, "__origin__", hint) if hasattr(hint, "__metadata__") else hint
        dashed = name.replace("_", "-")
        if dataclasses.is_dataclass(hint):
            names += option_names(hint, f"{prefix}{dashed}." if dashed else prefix)  # type: ignore[arg-type]
        else:
            names.append(f"{prefix}{dashed}")
            if hint is bool:
                head, _, leaf = f"{prefix}{dashed}".rpartition(".") if "." in dashed or "." in prefix else ("", "", "")
                names.append(f"{head}.no-{leaf}" if head else f"--no-{dashed}")
    return names

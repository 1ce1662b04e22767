"""Checks that every section of a configuration shares: one line with the value met and the value wanted."""

from __future__ import annotations

import math

from tide.errors import check


def positive(section: str, **values: float | None) -> None:
    """Raise :class:`~tide.errors.ConfigError` unless every value given is above 0."""
    for name, value in values.items():
        if value is not None:
            check(
                math.isfinite(value) and value > 0,
                f"{section}.{name} is {value}, a value above 0 is wanted: set {section}.{name} to a positive number",
            )


def not_negative(section: str, **values: float | None) -> None:
    """Raise :class:`~tide.errors.ConfigError` unless every value given is 0 or more."""
    for name, value in values.items():
        if value is not None:
            check(
                math.isfinite(value) and value >= 0,
                f"{section}.{name} is {value}, 0 or more is wanted: set {section}.{name} to 0 or a positive number",
            )


def one_of(section: str, name: str, value: object, options: tuple[str, ...]) -> None:
    """Raise :class:`~tide.errors.ConfigError` unless ``value`` is one of ``options``."""
    check(value in options, f"{section}.{name} is {value!r}, one of {', '.join(options)} is wanted")

"""Checks that every section of a configuration shares: one line with the value met and the value wanted."""

from __future__ import annotations

import math
from numbers import Real

from tide.errors import check


def positive(section: str, **values: float | None) -> None:
    """Raise :class:`~tide.errors.ConfigError` unless every value given is above 0."""
    for name, value in values.items():
        if value is not None:
            check(
                _is_number(value) and value > 0,
                f"{section}.{name} is {value}, a value above 0 is wanted: set {section}.{name} to a positive number",
            )


def not_negative(section: str, **values: float | None) -> None:
    """Raise :class:`~tide.errors.ConfigError` unless every value given is 0 or more."""
    for name, value in values.items():
        if value is not None:
            check(
                _is_number(value) and value >= 0,
                f"{section}.{name} is {value}, 0 or more is wanted: set {section}.{name} to 0 or a positive number",
            )


def at_most(section: str, bound: float, why: str, **values: float) -> None:
    """Raise :class:`~tide.errors.ConfigError` for a value above ``bound``, and say ``why`` there is one."""
    for name, value in values.items():
        check(_is_number(value) and value <= bound, f"{section}.{name} is {value}, at most {bound} is wanted: {why}")


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


MOST_TICKS = 10_000
MOST_NEURONS = 32_768


def core_size(neurons: int, ticks: int) -> None:
    """Raise :class:`~tide.errors.ConfigError` for more neurons or ticks than a machine can hold."""
    at_most("core", MOST_NEURONS, "the recurrent matrix has as many entries as their square", neurons=neurons)
    at_most("core", MOST_TICKS, "a training step keeps every tick for the backward pass", ticks=ticks)


def one_of(section: str, name: str, value: object, options: tuple[str, ...]) -> None:
    """Raise :class:`~tide.errors.ConfigError` unless ``value`` is one of ``options``."""
    check(value in options, f"{section}.{name} is {value!r}, one of {', '.join(options)} is wanted")

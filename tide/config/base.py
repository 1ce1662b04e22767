"""What all settings are made of: bounds in annotations, sections that check themselves, and the one registry."""

from __future__ import annotations

import dataclasses
import importlib
import math
import warnings
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from numbers import Real
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from tide.errors import ConfigError, check, did_you_mean, one_line, short_repr

B = TypeVar("B")


class Bound(NamedTuple):
    """An interval in which a setting must lie: ``ticks: Annotated[int, Bound(1)]``; what to do where it does not."""

    lowest: float = -math.inf
    highest: float = math.inf
    open: Literal["", "(", ")", "()"] = ""
    """Which ends do not belong to the interval."""
    too_low: str = ""
    too_high: str = ""

    def check(self, name: str, value: object) -> None:
        """Raise :class:`~tide.errors.ConfigError` for a value outside, or one that is no finite number."""
        low = f"{'above' if '(' in self.open else 'at least'} {self.lowest:,g}"
        high = f"{'below' if ')' in self.open else 'at most'} {self.highest:,g}"
        got = f"got {short_repr(value)}"
        check(isinstance(value, Real) and math.isfinite(value), f"{name} must be a finite number, {got}")
        number = float(value)  # type: ignore[arg-type]
        under = number <= self.lowest if "(" in self.open else number < self.lowest
        over = number >= self.highest if ")" in self.open else number > self.highest
        check(not under, f"{name} must be {low}, {got}{self.too_low and f'; {self.too_low}'}")
        check(not over, f"{name} must be {high}, {got}{self.too_high and f'; {self.too_high}'}")


Count = Annotated[int, Bound(1)]
Whole = Annotated[int, Bound(0)]
Positive = Annotated[float, Bound(0, open="(")]
NotNegative = Annotated[float, Bound(0)]
Share = Annotated[float, Bound(0, 1)]
Dropout = Annotated[float, Bound(0, 1, ")")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """Settings that check themselves: each value against the bounds and options in its field's annotation.

    Raises :class:`~tide.errors.ConfigError` on construction. Checks that compare settings stand in ``__post_init__``
    of a section, behind ``super().__post_init__()``.
    """

    section: ClassVar[str] = ""
    """Where the section stands in a configuration, ``core.attention``; it is the first part of every message."""

    def __post_init__(self) -> None:
        for name, hint in _hints(type(self)).items():  # type: ignore[arg-type]
            _check_value(f"{self.section}.{name}".lstrip("."), getattr(self, name), hint)


@cache
def _hints(cls: type[Any]) -> dict[str, Any]:
    """Return the annotations of a section's fields that ask for a check."""
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls) if get_origin(hints[field.name])}


def _check_value(name: str, value: Any, hint: Any) -> None:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        for bound in args[1:]:
            if isinstance(bound, Bound):
                bound.check(name, value)
        _check_value(name, value, args[0])
    elif origin in (Union, UnionType):
        if value is not None:
            _check_value(name, value, next(option for option in args if option is not type(None)))
    elif origin is Literal:
        if value not in args:
            options = [str(option) for option in args]
            near = did_you_mean(value, options, known=False)
            one_of = "one of " * (len(options) > 1)
            raise ConfigError(f"{name} must be {one_of}{', '.join(options)}, got {short_repr(value)}{near}")
    elif origin is tuple and isinstance(value, tuple):
        kinds = args[:1] * len(value) if args[-1:] == (Ellipsis,) else args
        for item, kind in zip(value, kinds, strict=False):
            _check_value(name, item, kind)


# The registry: which kinds of a section there are, and what builds each. Built-ins register as extensions do.

SECTIONS = {
    "input": ("kind",),
    "core": ("kind", "ticks", "attends", "population"),
    "backbone": ("kind", "features"),
    "data": ("kind", "name"),
}
"""Sections of a configuration that come in kinds, and what the settings of each have as fields or properties."""
NAMED = ("task", "objective", "environment")
"""What is chosen by a name alone."""
GROUP = "tide.extensions"

_PARENTS: dict[str, type[Any]] = {}
_SETTINGS: dict[str, dict[str, type[Any]]] = {section: {} for section in SECTIONS}
_BUILDERS: dict[str, dict[Any, Any]] = {section: {} for section in (*SECTIONS, *NAMED)}
_RESERVED: dict[str, tuple[str, ...]] = {}
_HOMES: dict[str, dict[Any, str]] = {section: {} for section in (*SECTIONS, *NAMED)}


def declare(
    section: str, homes: dict[Any, str], parent: type[Any] | None = None, reserved: tuple[str, ...] = ()
) -> None:
    """Make built-in kinds known: settings classes, or names, and the module whose import registers what builds each.

    ``parent`` is the class that all settings of the section are subclasses of; ``reserved`` are names that mean
    something else.
    """
    _RESERVED[section] = reserved
    if parent is not None:
        _PARENTS[section] = parent
    for what, home in homes.items():
        _HOMES[section][what] = home
        if section in SECTIONS:
            _SETTINGS[section][what.__dataclass_fields__["kind"].default] = what


def register(section: str, what: Any) -> Callable[[B], B]:
    """Make something of your own known; a decorator for what builds it.

    ::

        @tide.register("core", MyCellConfig)        # build(config, features=, outputs=, seed=) -> Cell
        @tide.register("backbone", MyEyesConfig)    # build(config, input) -> module: images to tokens (B, N, d_kv)
        @tide.register("data", MyDataConfig)        # build(config, model, directory) -> tide.data.Parts
        @tide.register("task", "rises")             # build(model, directory) -> tide.data.DrawnTask
        @tide.register("objective", "mine")         # f(logits, certainty, targets, config) -> loss, a scalar
        @tide.register("environment", "mine")       # f() -> tide.rl.environments.EnvironmentTask

    Settings are a frozen dataclass, a subclass of :class:`~tide.config.CoreSettings`,
    :class:`~tide.config.BackboneSettings`, :class:`~tide.config.DataSettings` or :class:`~tide.config.InputSettings`,
    with a field ``kind: Literal["mine"] = "mine"`` and a default for every other field. From then on files of
    settings, the command line, :func:`tide.create` and :func:`tide.load` know the kind. A class that is defined again,
    as in a notebook, takes the place of its former self.

    Raises:
        ConfigError: an unknown section, a name that is taken, or a class that is no settings of its section.
    """
    check(section in _BUILDERS, f"section must be one of {', '.join(_BUILDERS)}, got {short_repr(section)}")
    if section in NAMED:
        check(isinstance(what, str) and bool(what), f"{section} must be registered by a name, got {short_repr(what)}")
        free = what not in _RESERVED.get(section, ())
        check(free, f"{section} must have a name of its own, got {what!r}, which is already known")
        former = _BUILDERS[section].get(what)
    else:
        former = None
        _add_settings(section, what)

    def decorate(build: B) -> B:
        known_home = _HOMES[section].get(what)
        own = getattr(build, "__module__", None)
        if section in NAMED and (former is not None or known_home is not None):
            same = own in (known_home, getattr(former, "__module__", None))
            check(same, f"{section} must have a name of its own, got {what!r}, which is already known")
        _BUILDERS[section][what] = build
        return build

    return decorate


def builder(section: str, what: Any) -> Any:
    """Return what builds a kind: ``what`` is its settings, or its name; raises ConfigError for an unknown one."""
    key = what if section in NAMED else type(what)
    if key not in _BUILDERS[section] and key in _HOMES[section]:
        importlib.import_module(_HOMES[section][key])
    if key not in _BUILDERS[section]:
        name = key if isinstance(key, str) else key.__name__
        raise ConfigError(f"unknown {section} {short_repr(name)}{did_you_mean(str(name), names(section))}")
    return _BUILDERS[section][key]


def names(section: str) -> tuple[str, ...]:
    """Return the kinds of a section, or the names of tasks or objectives, that are known."""
    if section in NAMED:
        return tuple(dict.fromkeys((*_HOMES[section], *_BUILDERS[section])))
    return tuple(_SETTINGS[section])


def settings(section: str) -> dict[str, type[Any]]:
    """Return the settings class of each kind of a section, by kind."""
    return dict(_SETTINGS[section])


@cache
def load_extensions() -> None:
    """Import, once, what installed packages offer under the entry points of :data:`GROUP`: it registers itself.

    One that fails is left out with a warning.
    """
    for point in entry_points(group=GROUP):
        try:
            point.load()
        except Exception as error:  # whatever it is, the other commands and runs have no part in it
            package = point.dist.name if point.dist else point.value
            warnings.warn(
                f"extension {point.name} of {package} cannot be loaded and is left out "
                f"({type(error).__name__}: {one_line(error)[:200]}); mend or uninstall the package",
                stacklevel=2,
            )


def _add_settings(section: str, cls: type[Any]) -> None:
    name = getattr(cls, "__name__", repr(cls))
    frozen = isinstance(cls, type) and dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    check(frozen, f"{name} must be a frozen dataclass: @dataclass(frozen=True, kw_only=True)")
    parent = _PARENTS[section]
    check(issubclass(cls, parent), f"{name} must be a subclass of tide.config.{parent.__name__}")
    fields = {field.name: field for field in dataclasses.fields(cls)}
    kind = fields["kind"].default if "kind" in fields else None
    check(
        isinstance(kind, str) and get_args(get_type_hints(cls)["kind"]) == (kind,),
        f"{name}.kind must have one value: kind: Literal['mine'] = 'mine'",
    )
    for field in fields.values():
        without = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        check(not without, f"{name}.{field.name} must have a default: every setting can be left out")
    for required in SECTIONS[section]:
        missing = getattr(getattr(cls, required, None), "__isabstractmethod__", not hasattr(cls, required))
        check(required in fields or not missing, f"{name} must have a field or property {required}")
    former = _SETTINGS[section].get(str(kind))
    same = former is None or (former.__module__, former.__qualname__) == (cls.__module__, cls.__qualname__)
    check(same, f"{section}.kind must be new, got {kind!r}, which is already registered")
    _SETTINGS[section][str(kind)] = cls

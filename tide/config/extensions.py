"""Kinds of cores and backbones that live outside the package: their sections join those of :class:`ModelConfig`."""

from __future__ import annotations

import dataclasses
import warnings
from functools import cache, reduce
from importlib.metadata import entry_points
from operator import or_
from typing import Any, Literal, get_args, get_origin, get_type_hints

from tide.config.experiment import ModelConfig
from tide.errors import check, one_line

GROUP = "tide.extensions"
REQUIRED = {"core": ("ticks", "attends", "population"), "backbone": ("features",)}
"""What every section has as a field or a property, beside its ``kind``."""
BUILT_IN = {section: get_type_hints(ModelConfig)[section] for section in REQUIRED}
_ADDED: dict[str, dict[str, type[Any]]] = {section: {} for section in REQUIRED}


@cache
def load_extensions() -> None:
    """Import, once, what installed packages offer under the entry points of :data:`GROUP`: it registers itself.

    One that fails is left out with a warning.
    """
    for point in entry_points(group=GROUP):
        try:
            point.load()
        except Exception as error:  # whatever it is, the other commands and runs have no part in it
            package, said = point.dist.name if point.dist else point.value, one_line(error)[:200]
            warnings.warn(
                f"extension {point.name} of {package} fails to load ({type(error).__name__}: {said}) and is left out, "
                "a module that can be imported is wanted: mend or uninstall the package",
                stacklevel=2,
            )


def add_kind(section: Literal["core", "backbone"], config_class: type[Any]) -> None:
    """Make a configuration class one that ``section`` may be of, for mappings, YAML and the command line.

    A class that is defined again, as in a notebook, takes the place of its former self. Raises
    :class:`~tide.errors.ConfigError` for a name that is taken and a class that is no section.
    """
    kind, added = _checked(section, config_class), _ADDED[section]
    former = {name: member for name, member in added.items() if _place(member) != _place(config_class)}
    taken = [member.__dataclass_fields__["kind"].default for member in get_args(BUILT_IN[section])]
    check(kind not in (*taken, *former), f"{section}.kind {kind!r} is already registered, another name is wanted")
    added[kind] = config_class
    # The type hint is the one place from which reading, writing and the command line learn which kinds there are.
    ModelConfig.__annotations__[section] = reduce(or_, added.values(), BUILT_IN[section])


def _place(config_class: type[Any]) -> tuple[str, str]:
    return config_class.__module__, config_class.__qualname__


def _checked(section: str, config_class: type[Any]) -> str:
    """Return the kind of a configuration class that may be a section."""
    name = getattr(config_class, "__name__", repr(config_class))
    frozen = isinstance(config_class, type) and dataclasses.is_dataclass(config_class)
    frozen = frozen and config_class.__dataclass_params__.frozen
    check(frozen, f"{name} is no frozen dataclass, one is wanted: @dataclass(frozen=True, kw_only=True)")
    fields = {field.name: field for field in dataclasses.fields(config_class)}
    hint = get_type_hints(config_class).get("kind") if "kind" in fields else None
    kind = fields["kind"].default if "kind" in fields else None
    check(
        isinstance(kind, str) and get_origin(hint) is Literal and get_args(hint) == (kind,),
        f"{name} has no kind, a field of one value is wanted: kind: Literal['mine'] = 'mine'",
    )
    for field in fields.values():
        check(
            field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING,
            f"{name}.{field.name} has no default, one is wanted: every setting can be left out",
        )
    for wanted in REQUIRED[section]:
        there = wanted in fields or hasattr(config_class, wanted)
        check(there, f"{name} has no {wanted}, a field or property is wanted")
    return str(kind)

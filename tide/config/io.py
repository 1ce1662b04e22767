"""Configurations as plain mappings and YAML: strict reading, exact writing, comparison."""

from __future__ import annotations

import dataclasses
import numbers
import re
import types
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import yaml

from tide.config.data import DataConfig, data_config
from tide.config.extensions import REQUIRED
from tide.errors import ConfigError, check_path, did_you_mean, one_line, shown

# YAML of settings as people write it, and nothing beyond it.


DEEPEST = 12  # levels of nesting; settings have four
LONGEST = 1_000_000  # bytes; a whole configuration has four thousand
DIGITS = 40  # of a whole number


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which takes ``1e-3`` for a number, and refuses what no file of settings has.

    That is: a key given twice, aliases (a few lines of them unfold to gigabytes), nesting without end, numbers of
    thousands of digits.
    """

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node, not too deep and not by reference to another."""
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(
                problem=f"alias *{event.anchor}, values written out are wanted", problem_mark=event.start_mark
            )
        self.depth += 1
        if self.depth > DEEPEST:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem=f"more than {DEEPEST} levels of nesting", problem_mark=mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Construct a mapping in which every key is given once."""
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key that is no word", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key.value!r} given twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: Any) -> int:
        """Construct a whole number of a sane length."""
        if len(node.value) > DIGITS:
            raise yaml.MarkedYAMLError(
                problem=f"a number of {len(node.value)} digits, at most {DIGITS} are wanted",
                problem_mark=node.start_mark,
            )
        return super().construct_yaml_int(node)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_yaml_file(path: Path) -> Any:
    """Return what a YAML file holds.

    Raises:
        ConfigError: it cannot be read, is no YAML, or holds what :class:`_Loader` refuses.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(LONGEST + 1)
        if len(text) > LONGEST:
            raise ConfigError(f"{path} is longer than {LONGEST:,} characters, settings are wanted: give another file")
        return yaml.load(text, Loader=_Loader)
    except OSError as error:
        raise ConfigError(
            f"cannot read configuration {path}: {error.strerror}; give the path of a YAML file"
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        raise ConfigError(f"{path} is not valid YAML ({one_line(error)[:200]}); mend the file") from error


# What earlier versions wrote, and what people may write in short, brought to the form of this one.


FORMAT = 2
"""Number of the form of a model's configuration: 1 had classes and their names among the settings of the input."""

MOVED = ("classes", "labels")
FORMER = {"crop_padding": 0, "flip": False, "photos": "in_memory", "shuffle_buffer": 0, "unreadable_limit": 100}
"""What data of any kind had, before they came by kind, and the values that said nothing."""
FIRST = {"name", "crop_padding", "flip"}
"""What every version wrote of the data."""


def upgraded(mapping: Mapping[str, Any], data: DataConfig | None = None) -> dict[str, Any]:
    """Return the settings of a configuration of any format in the present one; what is of it stays as it is.

    ``data`` are those that the settings will be laid over.
    """
    return _data_by_kind(_with_output(mapping), data)


def _with_output(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Move the classes from the input to the output."""
    settings = mapping.get("input")
    if not isinstance(settings, Mapping) or not any(name in settings for name in MOVED):
        return dict(mapping)
    moved = {name: settings[name] for name in MOVED if name in settings}
    output = mapping.get("output")
    return {
        **mapping,
        "input": {name: value for name, value in settings.items() if name not in MOVED},
        "output": {**moved, **(output if isinstance(output, Mapping) else {})},
    }


def _data_by_kind(mapping: dict[str, Any], base: DataConfig | None) -> dict[str, Any]:
    """Give data that are only named, ``folder:DIR``, their kind, and leave out what it has not and said nothing."""
    given = mapping.get("data")
    if not isinstance(given, Mapping) or "kind" in given or not isinstance(given.get("name"), str):
        return mapping
    section = asdict(data_config(given["name"], base))
    silent = FORMER | {"photos": "streamed"} if section["kind"] == "hub" else FORMER
    written = given.keys() >= FIRST  # by an earlier version, which gave every setting to every kind
    rest = {
        name: value
        for name, value in given.items()
        if name in section or name not in silent or not (written or value == silent[name])
    }
    return {**mapping, "data": {**section, **rest, "name": section["name"]}}


# Configurations as plain mappings and YAML: strict reading, exact writing, comparison.


C = TypeVar("C")


def to_dict(config: Any) -> dict[str, Any]:
    """Return a configuration as nested plain dictionaries (tuples become lists), ready for YAML or JSON."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return list(value) if isinstance(value, tuple) else value

    return {key: plain(value) for key, value in dataclasses.asdict(config).items()}


def from_dict(cls: type[C], mapping: Mapping[str, Any], *, base: C | None = None, where: str = "") -> C:
    """Build a configuration from nested mappings, starting from ``base`` (default: the class's defaults).

    Where a section may be one of several kinds, its key ``kind`` chooses; another kind than that of ``base`` starts
    from its own defaults. What earlier versions wrote is read, too (:mod:`tide.config.io`). Raises
    :class:`ConfigError` naming the nearest key when one is unknown, and the type wanted when a value has another one.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{where or 'configuration'} is {shown(mapping)}, a mapping of settings is wanted")
    if not where:
        mapping = upgraded(mapping, getattr(base, "data", None))
    hints = get_type_hints(cls)
    names = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    for key, value in mapping.items():
        path = f"{where}.{key}" if where else str(key)
        if key not in names:
            raise ConfigError(f"unknown setting {path!r}{did_you_mean(str(key), names)}")
        hint = hints[key]
        sections = _sections(hint)
        if sections:
            section = getattr(base, key) if base is not None else None
            chosen = _choose_section(sections, value, section, path)
            same = section if isinstance(section, chosen) else None
            changes[key] = from_dict(chosen, value, base=same, where=path)
        else:
            changes[key] = _convert(value, hint, path)
    return dataclasses.replace(base, **changes) if base is not None else cls(**changes)  # type: ignore[type-var]


def _sections(hint: Any) -> list[type[Any]]:
    """Return the dataclasses that a type hint allows: one, or several told apart by their field ``kind``."""
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return [cast(type[Any], option) for option in options if dataclasses.is_dataclass(option)]


def _choose_section(sections: list[type[Any]], value: Any, present: Any, path: str) -> type[Any]:
    """Return the class of a section: that of its ``kind``, else that of the present one, else the first."""
    if len(sections) == 1 or not isinstance(value, Mapping) or "kind" not in value:
        return type(present) if present is not None else sections[0]
    kinds = {section.__dataclass_fields__["kind"].default: section for section in sections}
    kind = value["kind"]
    if kind not in list(kinds):  # a value that cannot be hashed is no kind either
        remedy = " (the kind of an extension is not registered before it is imported: import the extension first)"
        raise ConfigError(f"{path}.kind is {kind!r}{did_you_mean(str(kind), kinds)}{remedy * (path in REQUIRED)}")
    return kinds[kind]


def means_none(value: Any) -> bool:
    """Whether a word says that an optional value is left out: none or null, as on the command line so in a file."""
    return isinstance(value, str) and value.lower() in ("none", "null")


def _convert(value: Any, hint: Any, path: str) -> Any:
    """Check ``value`` against a type hint; whole numbers pass for floats and lists for tuples, nothing else bends."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if type(None) in args and (value is None or means_none(value)):
            return None
        return _convert(value, next(a for a in args if a is not type(None)), path)
    if origin is Literal:
        if value in args:
            return value
        names = [str(a) for a in args]
        if isinstance(value, bool) and not set(args) & {True, False}:
            # YAML 1.1 reads these words as truth values.
            raise ConfigError(
                f"{path} is {value}, one of {', '.join(names)} is wanted: in YAML put yes, no, on and off in quotes"
            )
        raise ConfigError(f"{path} is {shown(value)}{did_you_mean(str(value)[:80], names)}")
    if origin is tuple and isinstance(value, list | tuple):
        kinds = [args[0]] * len(value) if args[-1] is Ellipsis else list(args)
        if len(kinds) == len(value):
            return tuple(
                _convert(v, kind, f"{path}[{i}]") for i, (v, kind) in enumerate(zip(value, kinds, strict=True))
            )
    if hint in (int, float) and isinstance(value, numbers.Integral) and not isinstance(value, bool):
        value = int(value)  # numpy's, too
    if hint is float and isinstance(value, numbers.Real) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise ConfigError(f"{path} is {shown(value)}, a number below 1e308 is wanted") from None
    if isinstance(hint, type) and type(value) is hint:
        return value
    wanted = str(hint) if origin is not None else hint.__name__
    raise ConfigError(f"{path} is {shown(value)} ({type(value).__name__}), a value of type {wanted} is wanted")


def to_yaml(config: Any) -> str:
    """Return a configuration as YAML that :func:`read_yaml` reads back exactly."""
    return yaml.safe_dump(to_dict(config), sort_keys=False)


def read_yaml(cls: type[C], path: str | Path, *, base: C | None = None) -> C:
    """Read a configuration from a YAML file; settings that it leaves out come from ``base`` or the defaults."""
    return from_dict(cls, read_settings(path), base=base)


def read_settings(path: str | Path) -> dict[str, Any]:
    """Read the settings that a YAML file names, as nested mappings; an empty file names none."""
    check_path("configuration", path)
    mapping = read_yaml_file(Path(path))
    if mapping is not None and not isinstance(mapping, Mapping):
        raise ConfigError(f"configuration is {shown(mapping)}, a mapping of settings is wanted")
    return dict(mapping or {})


def flatten(mapping: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one level with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def differences(ours: Any, theirs: Any) -> list[str]:
    """Return one ``key: theirs, not ours`` text per setting in which two configurations differ."""
    a, b = flatten(to_dict(ours)), flatten(to_dict(theirs))
    return [f"{key} is {b.get(key)!r} there, {a.get(key)!r} here" for key in a | b if a.get(key) != b.get(key)]

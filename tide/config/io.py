"""Configurations as plain mappings and YAML: strict reading, exact writing, comparison."""

from __future__ import annotations

import dataclasses
import numbers
import re
import types
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import yaml

from tide.config import base as registry
from tide.config.model import ImageConfig
from tide.config.run import data_config
from tide.errors import ConfigError, check_path, did_you_mean, one_line, short_repr

C = TypeVar("C")

PHOTOS = ("folder", "hub")  # kinds of data

FORMAT = 2
"""Number of the form of a model's configuration on disk."""


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
    :class:`ConfigError` naming the nearest key when one is unknown, and the right type when a value has another one.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{where or 'configuration'} must be a mapping of settings, got {short_repr(mapping)}")
    if not where:
        mapping = _with_kind_of_data(mapping, getattr(base, "data", None))
        mapping = _without_statistics_of_others(mapping, base)
    hints = get_type_hints(cls)
    names = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    for key, value in mapping.items():
        path = f"{where}.{key}" if where else str(key)
        if key not in names:
            inside = [name for name in names if not where and key in _names_in(hints[name])]
            hint = (
                f"; say {inside[0]}=dict({key}={short_repr(value)}), in YAML {inside[0]}: {{{key}: ...}}"
                if inside
                else ""
            )
            raise ConfigError(f"unknown setting {path!r}{hint or did_you_mean(str(key), names)}")
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


def _names_in(hint: Any) -> set[str]:
    """Return the settings that a section has, in any of its kinds."""
    return {field.name for section in _sections(hint) for field in dataclasses.fields(section)}


def _sections(hint: Any) -> list[type[Any]]:
    """Return the dataclasses that a type hint allows: one, or all kinds of a section."""
    if not (isinstance(hint, type) and issubclass(hint, registry.Section)):
        return []
    kinds = registry.settings(hint.section) if "kind" in hint.__dataclass_fields__ else {}
    return list(kinds.values()) or [cast(type[Any], hint)]


def _with_kind_of_data(mapping: Mapping[str, Any], base: Any) -> Mapping[str, Any]:
    """Give data that are only named, ``folder:DIR``, their kind; leave out what the version before had besides."""
    data = mapping.get("data")
    if not isinstance(data, Mapping):
        return mapping
    if "shuffle_buffer" in data:
        if data["shuffle_buffer"]:
            warnings.warn(
                "data.shuffle_buffer is no longer a setting; photos of the hub are fetched whole and shuffled together",
                stacklevel=2,
            )
        data = {name: value for name, value in data.items() if name != "shuffle_buffer"}
    if "kind" not in data and isinstance(data.get("name"), str):
        section = dataclasses.asdict(data_config(data["name"], base))
        data = {**section, **data, "name": section["name"]}
    return {**mapping, "data": data}


def _without_statistics_of_others(mapping: Mapping[str, Any], base: Any) -> Mapping[str, Any]:
    """Where photos take the place of a data set, leave out its pixel statistics and the names of its classes."""
    data, settings, own = mapping.get("data"), mapping.get("input", {}), getattr(base, "input", None)
    if not isinstance(data, Mapping) or not isinstance(settings, Mapping) or not isinstance(own, ImageConfig):
        return mapping
    photos = data.get("kind") in PHOTOS and base.data.kind not in PHOTOS
    return (
        {**mapping, "input": {"mean": None, "std": None, **settings}} if photos and "kind" not in settings else mapping
    )


def _choose_section(sections: list[type[Any]], value: Any, present: Any, path: str) -> type[Any]:
    """Return the class of a section: that of its ``kind``, else that of the present one, else the first."""
    if len(sections) == 1 or not isinstance(value, Mapping) or "kind" not in value:
        return type(present) if present is not None else sections[0]
    kinds = {section.__dataclass_fields__["kind"].default: section for section in sections}
    kind = value["kind"]
    if kind not in list(kinds):  # a value that cannot be hashed is no kind either
        remedy = "; import an extension before you use its kind"
        remedy *= path in registry.SECTIONS
        raise ConfigError(f"{path}.kind must be a known one, got {kind!r}{did_you_mean(str(kind), kinds)}{remedy}")
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
        return value  # the section checks it
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
            raise ConfigError(f"{path} must be below 1e308, got {short_repr(value)}") from None
    if isinstance(hint, type) and type(value) is hint:
        return value
    expected = str(hint) if origin is not None else hint.__name__
    remedy = "; write true or false" * (hint is bool)
    raise ConfigError(f"{path} must be of type {expected}, got {short_repr(value)} ({type(value).__name__}){remedy}")


def to_yaml(config: Any) -> str:
    """Return a configuration as YAML that :func:`read_yaml` reads back exactly."""
    return yaml.dump(to_dict(config), Dumper=_Dumper, sort_keys=False)


def read_yaml(cls: type[C], path: str | Path, *, base: C | None = None) -> C:
    """Read a configuration from a YAML file; settings that it leaves out come from ``base`` or the defaults."""
    return from_dict(cls, read_settings(path), base=base)


def read_settings(path: str | Path) -> dict[str, Any]:
    """Read the settings that a YAML file names, as nested mappings; an empty file names none."""
    check_path("configuration", path)
    mapping = read_yaml_file(Path(path))
    if mapping is not None and not isinstance(mapping, Mapping):
        raise ConfigError(f"configuration must be a mapping of settings, got {short_repr(mapping)}")
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


# YAML of settings as people write it, and nothing beyond it. What a plain word means is read from one table, that of
# YAML 1.2's core schema, by the reader and the writer: a text that means something else is written in quotes.

MAX_DEPTH = 12  # levels of nesting; settings have four
MAX_CHARACTERS = 1_000_000  # bytes; a whole configuration has four thousand
MAX_DIGITS = 40  # of a whole number


MEANINGS = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}
"""What plain words mean but texts, by kind, the first that fits (https://yaml.org/spec/1.2.2, 10.3.2)."""


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper with the meanings of :data:`MEANINGS`."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the meanings of :data:`MEANINGS`, which refuses what no file of settings has.

    That is: a key given twice, aliases (a few lines of them unfold to gigabytes), nesting without end, numbers of
    thousands of digits.
    """

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node, not too deep and not by reference to another."""
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(
                problem=f"alias *{event.anchor}; write the values out", problem_mark=event.start_mark
            )
        self.depth += 1
        if self.depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem=f"more than {MAX_DEPTH} levels of nesting", problem_mark=mark)
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
        if len(node.value) > MAX_DIGITS:
            raise yaml.MarkedYAMLError(
                problem=f"a number must have at most {MAX_DIGITS} digits, got {len(node.value)}",
                problem_mark=node.start_mark,
            )
        return int(node.value, 0 if node.value[:2] in ("0o", "0x") else 10)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
for _class in (_Loader, _Dumper):
    _class.yaml_implicit_resolvers = {}
    for _kind, _words in MEANINGS.items():
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(rf"(?:{_words})\Z"), [None])


def read_yaml_file(path: Path) -> Any:
    """Return what a YAML file holds.

    Raises:
        ConfigError: it cannot be read, is no YAML, or holds what :class:`_Loader` refuses.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_CHARACTERS + 1)
        if len(text) > MAX_CHARACTERS:
            raise ConfigError(f"{path} must hold at most {MAX_CHARACTERS:,} characters; give a file of settings")
        return yaml.load(text, Loader=_Loader)
    except OSError as error:
        raise ConfigError(
            f"cannot read configuration {path}: {error.strerror}; give the path of a YAML file"
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        raise ConfigError(f"{path} is not valid YAML ({one_line(error)[:200]}); mend the file") from error

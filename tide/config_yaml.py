"""YAML of settings as people write it, and nothing beyond it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from tide.errors import ConfigError, one_line

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

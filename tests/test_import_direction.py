"""Data flows one way: a module imports only from rooms above its own (see the architecture in CONTRIBUTING.md)."""

from __future__ import annotations

from pathlib import Path

import tide
from tests.scripts import load_benchmark

ROOT = Path(tide.__file__).parent
TREE = load_benchmark("tree")
ROOMS, imported, imported_rooms = TREE.ROOMS, TREE.imported, TREE.imported_rooms
FILES = sorted(ROOT.rglob("*.py"))


def test_every_module_lies_in_a_known_room_and_imports_only_from_above() -> None:
    assert len(FILES) > 40
    for path in FILES:
        room = TREE.room_of(path, ROOT)
        if room in TREE.ABOVE_ALL:
            continue
        assert room in ROOMS, f"{path} is in no known room"
        for target in imported_rooms(path):
            assert target in ROOMS, f"{path.relative_to(ROOT)} imports {target} from the package's public names"
            assert ROOMS.index(target) <= ROOMS.index(room), f"{path.relative_to(ROOT)} imports tide.{target}"


def test_no_circle_of_imports_inside_a_room() -> None:
    modules = {TREE.module_of(path, ROOT): path for path in FILES if path.name != "__init__.py"}
    arrows = {name: imported(path, lazily=False) & modules.keys() - {name} for name, path in modules.items()}
    while arrows:
        free = {name for name, targets in arrows.items() if not targets & arrows.keys()}
        assert free, f"a circle among {sorted(arrows)}"
        arrows = {name: targets for name, targets in arrows.items() if name not in free}


def test_the_equations_know_nothing_of_images_files_or_commands() -> None:
    files = list((ROOT / "nn").glob("*.py"))
    assert len(files) > 5
    for path in files:
        assert imported_rooms(path) <= {"nn", "config", "errors", "types"}, path


def test_benchmarks_import_no_command() -> None:
    scripts = sorted((ROOT.parent / "benchmarks").glob("*.py"))
    assert len(scripts) > 10
    for path in scripts:
        assert "cli" not in imported_rooms(path), path


def test_circles_between_rooms_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"e"}, "e": {"f"}, "f": {"d", "a"}}
    assert TREE.circles(graph) == {frozenset("bc"), frozenset("def")}
    assert not TREE.circles(TREE.arrows(ROOT))


def test_code_proper_is_counted_without_blank_lines_comments_docstrings_and_imports() -> None:
    text = '''"""Of a module,

of three lines."""

import ast
from pathlib import (
    Path,
)

NAME = """a text,

not a docstring"""  # three lines of code


def function(a):  # one
    """Of a function."""
    # a comment
    import os

    return (  # three

        a
    )


VALUE = 1
"""Of a value."""
'''
    assert TREE.code_lines(text) == 3 + 1 + 3 + 1
    assert TREE.code_lines("") == 0


def test_the_files_of_a_forward_pass_are_those_that_are_entered() -> None:
    files = TREE.files_of_a_pass(ROOT.parent)
    assert {"losses.py", "models/thinker.py", "models/tide.py"} <= set(files)
    assert not {"models/presets.py", "models/ctm.py", "cli/main.py"} & set(files)

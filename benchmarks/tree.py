"""Count the package in a checkout, its files, lines and imports: ``python benchmarks/tree.py CHECKOUT...``.

``tests/test_import_direction.py`` holds what is counted here; an older checkout is judged by today's order of rooms.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOMS = [
    "errors",
    "types",
    "config",
    "json_io",
    "config_yaml",
    "config_io",
    "device",
    "core",
    "native",
    "backbones",
    "heads",
    "inputs",
    "models",
    "objectives",
    "losses",
    "data",
    "corruptions",
    "evaluate",
    "runs",
    "train",
    "analysis",
    "studies",
    "plots",
    "export",
    "cli",
]
"""Rooms of the package, from the first to the last: each imports only from those before it."""

ABOVE_ALL = ("__init__", "__main__")  # what users import, and the command: they may import everything
SOURCES = (".h", ".cpp", ".js", ".css", ".html")


def module_of(path: Path, root: Path) -> str:
    """Return the dotted name of a file of the package at ``root``."""
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, *, lazily: bool = True) -> set[str]:
    """Return the names of ``tide`` that a file imports, at its top or (``lazily``) inside functions and type checks."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = set()
    for node in ast.walk(tree) if lazily else tree.body:
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name.startswith("tide.")}


def imported_rooms(path: Path) -> set[str]:
    """Return the rooms of ``tide`` that a file imports, also as ``from tide import room``."""
    return {name.split(".")[1] for name in imported(path)} - {"__version__"}


def room_of(path: Path, root: Path) -> str:
    """Return the room of a file of the package at ``root``."""
    return path.relative_to(root).parts[0].removesuffix(".py")


def arrows(root: Path) -> dict[str, set[str]]:
    """Return for each room of the package at ``root`` the other rooms that its files import, also inside functions."""
    found: dict[str, set[str]] = {}
    for path in root.rglob("*.py"):
        room = room_of(path, root)
        if room not in ABOVE_ALL:
            found.setdefault(room, set()).update(imported_rooms(path) - {room})
    return found


def circles(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """Return the groups of rooms of which each imports, directly or not, every other."""
    reached = {room: set(targets) for room, targets in graph.items()}
    for middle in graph:
        for targets in reached.values():
            if middle in targets:
                targets |= reached[middle]
    return {
        frozenset(other for other in targets if room in reached.get(other, ()))
        for room, targets in reached.items()
        if room in targets
    }


def count(checkout: Path) -> dict[str, int]:
    """Return what there is in a checkout, by name."""
    root = checkout / "tide"
    graph = arrows(root)
    python = sorted(root.rglob("*.py"))
    other = [path for path in root.rglob("*") if path.suffix in SOURCES]
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (*python, *other)}
    return {
        "rooms": len(graph),
        "Python files": len(python),
        "Python lines": sum(lines[path] for path in python),
        "lines of a Python file, mean": round(sum(lines[path] for path in python) / len(python)),
        "other sources (C++, JavaScript, HTML, CSS)": len(other),
        "their lines": sum(lines[path] for path in other),
        "circles of imports between rooms": len(circles(graph)),
        "arrows upwards": sum(ROOMS.index(b) > ROOMS.index(a) for a, targets in graph.items() for b in targets),
    }


def main() -> None:
    """Print a column for each checkout."""
    checkouts = [Path(name) for name in sys.argv[1:] or ["."]]
    for checkout in checkouts:
        if not (checkout / "tide").is_dir():
            sys.exit(f"{checkout} holds no folder tide, a checkout of the project is wanted: give its path")
    columns = [count(checkout) for checkout in checkouts]
    print("| | " + " | ".join(checkout.resolve().name for checkout in checkouts) + " |")
    print("|---" * (1 + len(columns)) + "|")
    for name in columns[0]:
        print(f"| {name} | " + " | ".join(f"{column[name]:,}" for column in columns) + " |")


if __name__ == "__main__":
    main()

"""Data flows one way: a module imports only from rooms above its own (see the architecture in CONTRIBUTING.md)."""

from __future__ import annotations

import ast
from pathlib import Path

import tide

ROOT = Path(tide.__file__).parent
ROOMS = [
    "errors",
    "types",
    "config",
    "json_io",
    "config_yaml",
    "config_io",
    "core",
    "native",
    "backbones",
    "heads",
    "models",
    "losses",
    "data",
    "corruptions",
    "evaluate",
    "train",
    "analysis",
    "studies",
    "plots",
    "cli",
]


def imported_rooms(path: Path) -> set[str]:
    """Return the rooms of ``tide`` that a file imports, at its top or inside functions."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        rooms |= {name.split(".")[1] for name in names if name.startswith("tide.")}
    return rooms


def test_every_module_imports_only_from_above() -> None:
    files = [path for path in ROOT.rglob("*.py") if path.parent != ROOT or path.stem in ROOMS]
    assert len(files) > 40
    for path in files:
        room = path.relative_to(ROOT).parts[0].removesuffix(".py")
        assert room in ROOMS, f"{path} is in no known room"
        for target in imported_rooms(path):
            assert ROOMS.index(target) <= ROOMS.index(room), f"{path.relative_to(ROOT)} imports tide.{target}"


def test_the_core_knows_nothing_of_images_files_or_commands() -> None:
    for path in (ROOT / "core").glob("*.py"):
        assert imported_rooms(path) <= {"core", "config", "errors"}, path

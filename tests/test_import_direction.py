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


ABOVE_ALL = ("__init__", "__main__")  # what users import, and the command: they may import everything


def module_of(path: Path) -> str:
    """Return the dotted name of a file of the package."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
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


FILES = sorted(ROOT.rglob("*.py"))


def test_every_module_lies_in_a_known_room_and_imports_only_from_above() -> None:
    assert len(FILES) > 40
    for path in FILES:
        room = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if room in ABOVE_ALL:
            continue
        assert room in ROOMS, f"{path} is in no known room"
        for target in imported_rooms(path):
            assert target in ROOMS, f"{path.relative_to(ROOT)} imports {target} from the package's public names"
            assert ROOMS.index(target) <= ROOMS.index(room), f"{path.relative_to(ROOT)} imports tide.{target}"


def test_no_circle_of_imports_inside_a_room() -> None:
    modules = {module_of(path): path for path in FILES if path.name != "__init__.py"}
    arrows = {name: imported(path, lazily=False) & modules.keys() - {name} for name, path in modules.items()}
    while arrows:
        free = {name for name, targets in arrows.items() if not targets & arrows.keys()}
        assert free, f"a circle among {sorted(arrows)}"
        arrows = {name: targets for name, targets in arrows.items() if name not in free}


def test_the_core_knows_nothing_of_images_files_or_commands() -> None:
    for path in (ROOT / "core").glob("*.py"):
        assert imported_rooms(path) <= {"core", "config", "errors"}, path


def test_benchmarks_import_no_command() -> None:
    scripts = sorted((ROOT.parent / "benchmarks").glob("*.py"))
    assert len(scripts) > 10
    for path in scripts:
        assert "cli" not in imported_rooms(path), path

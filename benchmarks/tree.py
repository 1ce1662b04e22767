"""Count the package in a checkout, its files, lines and imports: ``python benchmarks/tree.py CHECKOUT...``.

``tests/test_import_direction.py`` holds what is counted here; an older checkout is judged by today's order of rooms,
in which rooms that are gone have kept their places. Which files a forward pass goes through is measured, not read: the
preset ``digits`` answers once in each checkout, in a process of its own.
"""

from __future__ import annotations

import ast
import io
import os
import statistics
import subprocess
import sys
import tokenize
from pathlib import Path

ROOMS = [
    "errors",
    "files",
    "json_io",
    "types",
    "registry",
    "config",
    "config_yaml",
    "config_io",
    "device",
    "nn",
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
    "rl",
    "analysis",
    "studies",
    "plots",
    "export",
    "cli",
]
"""Rooms of the package, from the first to the last: each imports only from those before it."""

ABOVE_ALL = ("__init__", "__main__")  # what users import, and the command: they may import everything
SOURCES = (".h", ".cpp", ".js", ".css", ".html")
LONG = 600  # lines of a file
INSIDE = ("data/drawn", "native/source", "page/")  # folders that may lie inside a room
NO_CODE = (
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
)

PASSES = (
    """
import torch
import tide
from tide.losses import objective
config = tide.preset("digits")
model = tide.create("digits").train()
def run():
    out = model(torch.rand(4, 1, 16, 16))
    return objective(out, torch.arange(4), model.cell.blocks(), config.loss, curriculum=1.0).total
""",
)
"""Ways to make ``run``, a forward pass in training and its loss; the first that works in a checkout is taken.

A checkout with other names gets a way of its own here.
"""

TRACE = """
import pathlib, sys
home = pathlib.Path(sys.argv[1])
names = {}
exec(sys.argv[2], names)
assert home in pathlib.Path(sys.modules["tide"].__file__).resolve().parents, "another checkout was imported"
names["run"]()  # what is done only once is not counted
seen = set()
sys.settrace(lambda frame, event, argument: seen.add(frame.f_code.co_filename))
loss = names["run"]()
sys.settrace(None)
assert bool(loss.isfinite())
files = {pathlib.Path(name).resolve() for name in seen if name.endswith(".py")}
for path in sorted(files):
    if home / "tide" in path.parents:
        print(path.relative_to(home / "tide").as_posix())
"""
"""Prints the files of the package of which a function was entered."""


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


def circles_of_files(root: Path, *, lazily: bool = True) -> set[frozenset[str]]:
    """Return the groups of files of which each imports every other, directly or not.

    Files ``__init__`` are left out: they only hand on the names of their package.
    """
    modules = {module_of(path, root): path for path in root.rglob("*.py") if path.name != "__init__.py"}
    return circles({name: imported(path, lazily=lazily) & modules.keys() - {name} for name, path in modules.items()})


def code_lines(text: str) -> int:
    """Return the number of lines that are code proper: not blank, comment, docstring or import."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NO_CODE:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        documents = isinstance(node, ast.Expr) and isinstance(getattr(node.value, "value", None), str)
        if documents or isinstance(node, ast.Import | ast.ImportFrom):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def inner_folders(root: Path) -> list[str]:
    """Return the folders with code that lie inside a room and may not."""
    files = [path for path in root.rglob("*") if path.suffix in (".py", *SOURCES)]
    folders = {path.parent.relative_to(root).as_posix() for path in files}
    return sorted(name for name in folders if "/" in name and not name.startswith(INSIDE))


def files_of_a_pass(checkout: Path) -> list[str]:
    """Return the files whose functions a forward pass in training and its loss enter, on the eager loop.

    None of them where no way of :data:`PASSES` works; standard error says why.
    """
    environment = os.environ | {"PYTHONPATH": str(checkout), "TIDE_NATIVE": "0", "OMP_NUM_THREADS": "1"}
    for way in PASSES:
        command = [sys.executable, "-P", "-c", TRACE, str(checkout), way]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode == 0:
            return done.stdout.split()
    why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    print(f"{checkout}: no forward pass ({why}); mend the checkout or add a way to PASSES", file=sys.stderr)
    return []


def lines_in(folder: Path) -> int:
    """Return the lines of all Python files in a folder."""
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in folder.rglob("*.py"))


def count(checkout: Path) -> dict[str, int | None]:
    """Return what there is in a checkout, by name; None for what could not be measured."""
    root = checkout / "tide"
    graph = arrows(root)
    python = sorted(root.rglob("*.py"))
    texts = {path: path.read_text(encoding="utf-8") for path in python}
    lines = {path: len(text.splitlines()) for path, text in texts.items()}
    other = [path for path in root.rglob("*") if path.suffix in SOURCES]
    known = [(a, b) for a, targets in graph.items() for b in targets if {a, b} <= set(ROOMS)]
    top = [path for path in root.iterdir() if path.name not in ("__pycache__", "py.typed")]
    return {
        "Python files": len(python),
        "Python lines": sum(lines.values()),
        "code proper: no blank, comment, docstring, import": sum(map(code_lines, texts.values())),
        "lines of a Python file, mean": round(sum(lines.values()) / len(python)),
        "lines of a Python file, median": round(statistics.median(lines.values())),
        "lines of the largest": max(lines.values()),
        f"Python files over {LONG} lines": sum(number > LONG for number in lines.values()),
        "folders and files at the top": len(top),
        "rooms: those with code to import": len(graph),
        "rooms that have no place in the order": len(set(graph) - set(ROOMS)),
        "folders inside a room that may not be": len(inner_folders(root)),
        "files of a forward pass and its loss": len(files_of_a_pass(checkout.resolve())) or None,
        "circles of imports between files": len(circles_of_files(root)),
        "of these, at the top of files": len(circles_of_files(root, lazily=False)),
        "circles of imports between rooms": len(circles(graph)),
        "arrows upwards": sum(ROOMS.index(b) > ROOMS.index(a) for a, b in known),
        "other sources (C++, JavaScript, HTML, CSS)": len(other),
        "their lines": sum(len(path.read_text(encoding="utf-8").splitlines()) for path in other),
        "lines of the tests": lines_in(checkout / "tests"),
        "lines of the benchmarks": lines_in(checkout / "benchmarks"),
    }


def main() -> None:
    """Print a column for each checkout."""
    checkouts = [Path(name) for name in sys.argv[1:] or ["."]]
    for checkout in checkouts:
        if not (checkout / "tide").is_dir():
            sys.exit(f"{checkout} must be a checkout of the project, got one without a folder tide; give its path")
    columns = [count(checkout) for checkout in checkouts]
    print("| | " + " | ".join(checkout.resolve().name for checkout in checkouts) + " |")
    print("|---" * (1 + len(columns)) + "|")
    for name in columns[0]:
        cells = ["-" if (number := column[name]) is None else f"{number:,}" for column in columns]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()

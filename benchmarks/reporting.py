"""What the scripts that report on finished runs share: where the numbers come from, and how they are written."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from matplotlib.figure import Figure

from tide.errors import InputError
from tide.evaluate.statistics import t_interval
from tide.files import write_json, writing
from tide.runs.folder import RunFolder, describe_environment
from tide.studies.publish import save_study, without_places

COLOURS = {"tide": "#c0392b", "anytime": "#e08214", "ctm": "#2d6ca2", "lstm": "#5aae61"}
"""Of each model, in the pictures of tasks and mazes."""
R = TypeVar("R")


def check_names(runs: Sequence[Path]) -> None:
    """Raise :class:`InputError` unless there are runs, and of different names: they are told apart by these."""
    names = [path.name for path in runs]
    if not names or len(set(names)) < len(names):
        raise InputError(f"runs must be one or more of different names, got {', '.join(names) or 'none'}")


def without_seed(name: str) -> str:
    """Return the name of a run without the seed at its end: ``tide`` of ``tide-42``, ``tide.s42`` and ``tide.42``."""
    return re.sub(r"[-.]s?\d+$", "", name)


def groups(runs: Mapping[str, R]) -> dict[str, list[R]]:
    """Return the runs of each name without its seed."""
    found: dict[str, list[R]] = {}
    for name, run in runs.items():
        found.setdefault(without_seed(name), []).append(run)
    return found


def interval(values: Sequence[float], scale: float = 1) -> str:
    """Return the mean times ``scale``, with half the width of its interval of 95 % where there are several values."""
    if len(values) < 2:
        return f"{scale * values[0]:.1f}"
    mean, low, high = t_interval(values)
    return f"{scale * mean:.1f} ± {scale * (high - low) / 2:.1f}"


def origin(runs: Sequence[Path]) -> dict[str, Any]:
    """Return the commits that runs were made with, this command without the places of this machine, and the latter."""
    return {
        "commits": sorted({str(RunFolder.open(path).environment.get("commit")) for path in runs}),
        "command": shlex.join(["python", sys.argv[0], *without_places(sys.argv[1:])]),
        "environment": describe_environment(),
    }


def end(script: str, error: InputError) -> NoReturn:
    """End the script as ``tide`` ends on bad input: one line, exit code 2."""
    print(f"{script}: error: {error}", file=sys.stderr)
    sys.exit(2)


def save(script: str, result: Mapping[str, Any], out: Path | None) -> None:
    """Write a result as JSON to the file that ``--out`` names, if any; end with one line where that fails."""
    if out is None:
        return
    try:
        with writing(out):
            write_json(out, result)
    except InputError as error:
        end(script, error)


def publish(
    script: str,
    out: Path,
    report: Callable[[], dict[str, Any]],
    markdown: Callable[[dict[str, Any]], str],
    draw: Callable[[dict[str, Any]], Figure],
) -> None:
    """Write a report as OUT.json, OUT.md and OUT.png and print it; end with one line where the input is bad."""
    try:
        result = report()
        text = markdown(result)
        save_study(out.parent, out.name, result, text, {f"{out.name}.png": lambda: draw(result)})
    except InputError as error:
        end(script, error)
    print(text, end="")

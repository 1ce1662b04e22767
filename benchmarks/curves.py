"""Draw readings of trainings over their steps: ``python benchmarks/curves.py RUN... --keys ei_ratio --out NAME``.

A key is a number of the lines of ``metrics.jsonl`` whose kind is ``--kind``. Writes NAME.json, NAME.md (values at the
start, in the middle and at the end) and NAME.png.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from matplotlib.figure import Figure
from reporting import check_names, origin, publish

from tide.errors import InputError
from tide.runs.folder import RunFacts, RunFolder


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Draw curves."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders, complete."""
    out: Path
    """Path without extension."""
    keys: tuple[str, ...] = ("ei_ratio", "accuracy")
    kind: str = "train"
    """Kind of line: train, monitor, probe or evaluation."""
    target: float | None = None
    """Value marked in the first key's panel."""


def read(path: Path, settings: Settings) -> dict[str, Any]:
    """Return the curves of one run; raises :class:`InputError` where a line or a key is missing."""
    facts, lines = RunFacts.read(path), RunFolder.open(path).metrics(settings.kind)
    if not lines:
        raise InputError(
            f"{path} has no lines of kind {settings.kind!r}; train, monitor, probe or evaluation are wanted"
        )
    for key in settings.keys:
        if any(key not in line for line in lines):
            raise InputError(f"{path}: not all lines of kind {settings.kind!r} have {key!r}; met are {list(lines[0])}")
    return {
        "last_accuracy": facts.last_accuracy,
        "rejected_steps": facts.rejected,
        "steps": [line["step"] for line in lines],
        **{key: [line[key] for line in lines] for key in settings.keys},
    }


def markdown(result: dict[str, Any]) -> str:
    """Return the table."""
    keys = result["keys"]
    lines = [
        "Readings at the first step, in the middle and at the last.",
        "",
        f"| run | last test accuracy, % | {' | '.join(keys)} | rejected steps |",
        "|---" * (3 + len(keys)) + "|",
    ]
    for name, run in result["runs"].items():
        places = (0, len(run["steps"]) // 2, -1)
        readings = [", ".join(f"{run[key][place]:.4g}" for place in places) for key in keys]
        lines.append(
            f"| {name} | {100 * run['last_accuracy']:.2f} | {' | '.join(readings)} | {run['rejected_steps']} |"
        )
    return "\n".join(lines) + "\n"


def draw(result: dict[str, Any], target: float | None) -> Figure:
    """Draw a panel for each key."""
    keys = result["keys"]
    figure = Figure(figsize=(6.5 * len(keys), 4.4), layout="constrained")
    panels = figure.subplots(1, len(keys), squeeze=False)[0]
    for axes, key in zip(panels, keys, strict=True):
        for name, run in result["runs"].items():
            axes.plot(run["steps"], run[key], linewidth=1.2, label=name)
        axes.set(xlabel="step", ylabel=key.replace("_", " "))
        axes.grid(alpha=0.3)
    if target is not None:
        panels[0].axhline(target, color="0.3", linestyle=":")
    panels[0].legend(fontsize=8)
    return figure


def report(settings: Settings) -> dict[str, Any]:
    """Return the curves of all runs; raises :class:`InputError` for two of one name."""
    check_names(settings.runs)
    return {
        "keys": settings.keys,
        "runs": {path.name: read(path, settings) for path in settings.runs},
        **origin(settings.runs),
    }


def main() -> None:
    """Run the command."""
    settings = tyro.cli(Settings, description=__doc__)
    publish("curves", settings.out, lambda: report(settings), markdown, lambda result: draw(result, settings.target))


if __name__ == "__main__":
    main()

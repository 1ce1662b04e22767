"""Mazes as large as trained on, and larger: ``python benchmarks/mazes.py RUN... --out results/tasks/mazes``.

Each RUN's best checkpoint walks the same fresh mazes of every size, in several answers: each goes on from where the one
before it ended. Writes OUT.json, OUT.md and OUT.png.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from matplotlib.figure import Figure
from reporting import COLOURS, check_names, origin, publish

from tide.data.drawn.mazes import draw_mazes
from tide.evaluate.answers import walk_on
from tide.models.load import load
from tide.models.presets import model_name
from tide.models.task_presets import extent
from tide.runs.folder import RunFolder

SEED = 5_000_011  # of these mazes; those of training and test are drawn otherwise


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Walk mazes of several sizes."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders of mazes."""
    out: Path
    """Path without extension."""
    sizes: tuple[int, ...] = (9, 15, 19)
    """Heights and widths in pixels, odd."""
    mazes: int = 500
    """Mazes of each size."""
    passes: int = 5
    """Answers in which a maze may be walked."""


def report(settings: Settings) -> dict[str, Any]:
    """Return the share of mazes whose goal is reached after each answer, by run and size."""
    check_names(settings.runs)
    solved: dict[str, dict[str, list[float]]] = {}
    trained: dict[str, dict[str, Any]] = {}
    for path in settings.runs:
        config = RunFolder.open(path).config
        trained[path.name] = {"model": model_name(config), "size": extent(config)[1]}
        model, solved[path.name] = load(path), {}
        for size in settings.sizes:
            generator = torch.Generator().manual_seed(SEED + size)
            mazes, _ = draw_mazes(settings.mazes, size, 1, generator)
            arrived = walk_on(model, mazes, settings.passes)
            solved[path.name][str(size)] = arrived.double().mean(0).tolist()
    return {
        **origin(settings.runs),
        "mazes": settings.mazes,
        "passes": settings.passes,
        "trained": trained,
        "solved": solved,
    }


def markdown(result: Mapping[str, Any]) -> str:
    """Return a row for each run."""
    sizes = list(next(iter(result["solved"].values())))
    lines = [
        f"{result['mazes']} fresh mazes of each size; goals reached, %: in one answer / walking on, {result['passes']} "
        "answers in all.",
        "",
        f"| run | {' | '.join(f'{size} px' for size in sizes)} |",
        "|---" * (len(sizes) + 1) + "|",
    ]
    for name, found in result["solved"].items():
        cells = [f"{100 * found[size][0]:.1f} / {100 * found[size][-1]:.1f}" for size in sizes]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(result: Mapping[str, Any]) -> Figure:
    """Draw the share of mazes solved over the answers, a panel for each size; dashed: trained on larger ones."""
    sizes = list(next(iter(result["solved"].values())))
    smallest = min(run["size"] for run in result["trained"].values())
    figure = Figure(figsize=(3.6 * len(sizes), 3.2), layout="constrained")
    panels = figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
    for axes, size in zip(panels, sizes, strict=True):
        for name, found in result["solved"].items():
            run = result["trained"][name]
            line, colour = "o-" if run["size"] == smallest else "s--", COLOURS.get(run["model"], "0.4")
            share = [100 * value for value in found[size]]
            axes.plot(range(1, len(share) + 1), share, line, color=colour, markersize=4, label=name)
        axes.set_title(f"{size} px")
        axes.set_xlabel("answers")
        axes.set_ylim(-2, 102)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("mazes solved, %")
    panels[0].legend(fontsize=8)
    return figure


def main() -> None:
    """Run the command."""
    settings = tyro.cli(Settings, description=__doc__)
    publish("mazes", settings.out, lambda: report(settings), markdown, draw)


if __name__ == "__main__":
    main()

"""Which questions over digits are answered: ``python benchmarks/questions.py RUN... --out results/tasks/questions``.

Each RUN's best checkpoint answers the fixed test set, told apart by how many digits were shown and how many operations
were asked for. Writes OUT.json, OUT.md and OUT.png.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from matplotlib.figure import Figure
from reporting import check_names, origin, publish

from tide.data import DrawnSet, read_splits
from tide.errors import InputError
from tide.evaluate.answers import collect_answers
from tide.models.inputs import Questions
from tide.models.load import load
from tide.runs.folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Ask questions over digits."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders of qamnist."""
    out: Path
    """Path without extension."""
    data_dir: Path | None = None
    """Folder of the data sets."""


def report(settings: Settings) -> dict[str, Any]:
    """Return the share of right answers by run, digits and operations, and that of questions whose answer is 0."""
    check_names(settings.runs)
    test = read_splits(RunFolder.open(settings.runs[0]).config, settings.data_dir).test
    if not isinstance(test, DrawnSet) or not isinstance(test.parts[0].images, Questions):
        raise InputError(f"{settings.runs[0]} is a run on something else, one on qamnist is wanted")
    kinds = [(part.images.digits.shape[1], part.images.question.shape[1] // 2, len(part.labels)) for part in test.parts]
    right: dict[str, list[float]] = {}
    for path in settings.runs:
        answers = collect_answers(load(path), test)
        correct = answers.at_most_certain(answers.correct).double().split([count for *_, count in kinds])
        right[path.name] = [float(part.mean()) for part in correct]
    return {
        **origin(settings.runs),
        "questions": [{"digits": digits, "operations": asked, "count": count} for digits, asked, count in kinds],
        "zero": float((test.labels == 0).double().mean()),
        "right": right,
    }


def tables(result: Mapping[str, Any]) -> dict[str, tuple[Any, list[int], list[int]]]:
    """Return for each run the shares as an array (digits, operations), NaN where nothing was asked."""
    rows = sorted({kind["digits"] for kind in result["questions"]})
    columns = sorted({kind["operations"] for kind in result["questions"]})
    made = {}
    for name, shares in result["right"].items():
        right, asked = np.zeros((len(rows), len(columns))), np.zeros((len(rows), len(columns)))
        for kind, share in zip(result["questions"], shares, strict=True):
            place = rows.index(kind["digits"]), columns.index(kind["operations"])
            right[place] += share * kind["count"]
            asked[place] += kind["count"]
        made[name] = np.divide(right, asked, out=np.full_like(right, np.nan), where=asked > 0), rows, columns
    return made


def markdown(result: Mapping[str, Any]) -> str:
    """Return a table for each run: digits down, operations across."""
    counts = np.array([kind["count"] for kind in result["questions"]])
    lines = [
        f"{counts.sum()} questions of the test set, right at the most certain tick, %. Answering 0 to each is right in "
        f"{100 * result['zero']:.1f} %.",
    ]
    for name, (shares, rows, columns) in tables(result).items():
        overall = float((counts * np.array(result["right"][name])).sum() / counts.sum())
        lines += [
            "",
            f"| {name}: {100 * overall:.1f} % | {' | '.join(_counted(n, 'operation') for n in columns)} |",
            "|---" * (len(columns) + 1) + "|",
        ]
        lines += [
            f"| {_counted(digits, 'digit')} | {' | '.join(f'{100 * share:.1f}' for share in row)} |"
            for digits, row in zip(rows, shares, strict=True)
        ]
    return "\n".join(lines) + "\n"


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number > 1)}"


def draw(result: Mapping[str, Any]) -> Figure:
    """Draw a map for each run: digits down, operations across."""
    found = tables(result)
    figure = Figure(figsize=(1 + 3.2 * len(found), 3.2), layout="constrained")
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for axes, (name, (shares, rows, columns)) in zip(panels, found.items(), strict=True):
        shown = axes.imshow(100 * shares, cmap="viridis", vmin=0, vmax=100)
        for (row, column), share in np.ndenumerate(shares):
            colour = "white" if share < 0.6 else "black"
            axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=colour)
        axes.set_xticks(range(len(columns)), [str(count) for count in columns])
        axes.set_yticks(range(len(rows)), [str(count) for count in rows])
        axes.set_xlabel("operations")
        axes.set_title(name, fontsize=10)
    panels[0].set_ylabel("digits")
    figure.colorbar(shown, ax=list(panels), label="right, %")
    return figure


def main() -> None:
    """Run the command."""
    settings = tyro.cli(Settings, description=__doc__)
    publish("questions", settings.out, lambda: report(settings), markdown, draw)


if __name__ == "__main__":
    main()

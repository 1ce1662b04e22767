"""Learning curves of long runs, a panel for each data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_paper_table(result: Mapping[str, Any]) -> Figure:
    """Draw test accuracy over steps of what :func:`tide.studies.paper_table.table` returns."""
    from matplotlib.figure import Figure

    rows = {name: row for name, row in result["rows"].items() if row["curve"]}
    tasks = list(dict.fromkeys(row["task"] for row in rows.values())) or [""]
    figure = Figure(figsize=(6.5 * len(tasks), 4.6), layout="constrained")
    for axes, task in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks, strict=True):
        ends = []
        for number, row in enumerate(row for row in rows.values() if row["task"] == task):
            steps, certain, last = zip(*row["curve"], strict=True)
            reached = f"{100 * certain[-1]:.2f} %, last tick {100 * last[-1]:.2f} %"
            label = f"{row['model']}, T = {row['ticks']}, seed {row['seed']}: {reached}"
            axes.plot(steps, [100 * value for value in certain], color=f"C{number}", linewidth=1.3, label=label)
            axes.plot(steps, [100 * value for value in last], color=f"C{number}", linewidth=0.8, linestyle=":")
            axes.axhline(row["published"]["best"], color=f"C{number}", linewidth=0.6, linestyle="--")
            ends += [100 * certain[-1], row["published"]["best"]]
        if ends:
            spread = 1.5 * max(1.0, 100 - min(ends))
            axes.set_ylim(min(ends) - spread, min(100.0, max(ends) + spread / 10))
            axes.legend(fontsize=8, loc="lower right")
        axes.set(xlabel="step", ylabel="test accuracy, %")
        axes.set_title(f"{task}\nfull: most certain tick; dotted: last tick; dashed: the paper's best", fontsize=9)
        axes.grid(alpha=0.3)
    return figure

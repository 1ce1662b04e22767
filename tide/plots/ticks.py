"""What internal ticks buy, in one picture: accuracy by the number of ticks trained with, and tick by tick."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EQUAL = {"ticks": ("equal parameters", "#2d6ca2"), "ticks-at-equal-operations": ("equal operations", "#c0392b")}


def has_ticks(result: Mapping[str, Any]) -> bool:
    """Return whether an ablation has what :func:`draw_ticks` draws."""
    return any(result["studies"].get(name, {}).get("rows") for name in EQUAL)


def draw_ticks(result: Mapping[str, Any]) -> Figure:
    """Draw the studies of ticks of what :func:`tide.studies.ablation_report.ablation_result` returned."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    studies = {name: result["studies"][name]["rows"] for name in EQUAL if name in result["studies"]}
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    trained, within = figure.subplots(1, 2, sharey=True)
    counts = sorted({row["ticks"] for rows in studies.values() for row in rows})
    for name, rows in studies.items():
        label, colour = EQUAL[name]
        accuracies = [100 * row["last_accuracy"] for row in rows]
        trained.plot([row["ticks"] for row in rows], accuracies, "o-", color=colour, label=label)
        for row, accuracy in zip(rows, accuracies, strict=True):
            if not row["is_baseline"] and name != "ticks":
                trained.annotate(
                    f"{row['neurons']} neurons",
                    (row["ticks"], accuracy),
                    xytext=(0, 7),
                    textcoords="offset points",
                    ha="center",
                    fontsize=7,
                    color=colour,
                )
    trained.set_xscale("log", base=2)
    trained.set_xticks(counts, [str(count) for count in counts])
    trained.xaxis.set_minor_locator(NullLocator())
    trained.set(xlabel="internal ticks, trained and answered with", ylabel="accuracy at the most certain tick, %")
    trained.legend(fontsize=8)
    shown = next(iter(studies.values()))
    colours = colormaps["viridis"].resampled(len(shown) + 1)
    for place, row in enumerate(shown):
        values = [100 * value for value in row["accuracy_per_tick"]]
        within.plot(range(1, len(values) + 1), values, "o-", markersize=3, color=colours(place), label=row["variant"])
    within.set_xscale("log", base=2)
    within.set_xticks(counts, [str(count) for count in counts])
    within.xaxis.set_minor_locator(NullLocator())
    within.set(xlabel="tick that is asked", ylabel="accuracy at that tick, %")
    within.legend(title="trained with ticks", fontsize=8, title_fontsize=8)
    for axes in (trained, within):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"ticks on {result['data']}: {result['steps']} steps of {result['batch']}, seed {result['seed']}")
    return figure

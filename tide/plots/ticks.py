"""What internal ticks buy, in one picture: accuracy by the number of ticks trained with, and tick by tick."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
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
    measures = {"last_accuracy": "accuracy at the most certain tick, %"}
    if all(row["whole_accuracy"] is not None for rows in studies.values() for row in rows):
        measures["whole_accuracy"] = "whole answers right there, %"
    figure = Figure(figsize=(0.5 + 4.6 * (1 + len(measures)), 4.2), layout="constrained")
    *trained, within = figure.subplots(1, 1 + len(measures))
    counts = sorted({row["ticks"] for rows in studies.values() for row in rows})
    for axes, (measure, label) in zip(trained, measures.items(), strict=True):
        _trained(axes, studies, measure)
        axes.set(xlabel="internal ticks, trained and answered with", ylabel=label)
    shown = next(iter(studies.values()))
    colours = colormaps["viridis"].resampled(len(shown) + 1)
    for place, row in enumerate(shown):
        values = [100 * value for value in row["accuracy_per_tick"]]
        within.plot(range(1, len(values) + 1), values, "o-", markersize=3, color=colours(place), label=row["variant"])
    within.set(xlabel="tick that is asked", ylabel="accuracy at that tick, %")
    within.legend(title="trained with ticks", fontsize=8, title_fontsize=8)
    for axes in (*trained, within):
        axes.set_xscale("log", base=2)
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"ticks on {result['data']}: {result['steps']} steps of {result['batch']}, seed {result['seed']}")
    return figure


def _trained(axes: Axes, studies: Mapping[str, Any], measure: str) -> None:
    """Draw a measure against the ticks trained with, a curve for each study."""
    for name, rows in studies.items():
        label, colour = EQUAL[name]
        values = [100 * row[measure] for row in rows]
        axes.plot([row["ticks"] for row in rows], values, "o-", color=colour, label=label)
        for row, value in zip(rows, values, strict=True):
            if not row["is_baseline"] and name != "ticks":
                place: Any = {"xytext": (0, -13), "textcoords": "offset points", "ha": "center", "fontsize": 7}
                axes.annotate(f"{row['neurons']} neurons", (row["ticks"], value), color=colour, **place)
    axes.margins(x=0.12, y=0.12)
    axes.legend(fontsize=8)

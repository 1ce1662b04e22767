"""All variants of an ablation in one picture: accuracy, E-I ratio and time, study by study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BEST, LAST, BASELINE = "#999999", "#c0392b", "#2d6ca2"
WIDE = 10  # greatest over least E-I ratio that still fits a linear axis
FLOOR = 0.05  # percent: where no image of the test split is wrong


def draw_ablation(result: Mapping[str, Any]) -> Figure:
    """Draw what :func:`tide.studies.ablation_report.ablation_result` returned; studies on other data are left out."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    studies = [study for study in result["studies"].values() if study["data"] == result["data"]]
    positions: list[tuple[float, dict[str, Any]]] = []
    titles: list[tuple[float, str]] = []
    height = 0.0
    for study in studies:
        titles.append((height, study["title"]))
        for row in study["rows"]:
            height += 1
            positions.append((height, row))
        height += 1.6
    figure = Figure(figsize=(13, 1.6 + 0.22 * height), layout="constrained")
    figure.suptitle(f"ablations on {result['data']}: {result['steps']} steps of {result['batch']} images")
    accuracy, ratio, factor = figure.subplots(1, 3, sharey=True, width_ratios=(2.2, 1, 1))
    baseline = result["baseline"]
    # Errors on a logarithmic axis: one variant that fails must not squeeze the others together.
    mean, spread = _error(baseline["last_accuracy"]), 100 * (baseline["spread"] or 0.0)
    lowest = max(mean - 2 * spread, FLOOR)
    accuracy.axvspan(lowest, mean + 2 * spread, color=BASELINE, alpha=0.15, label="baseline ± 2 std")
    accuracy.axvline(mean, color=BASELINE, linewidth=1)
    places = [place for place, _ in positions]
    accuracy.scatter([_error(row["best_accuracy"]) for _, row in positions], places, c=BEST, s=26, label="best")
    accuracy.scatter([_error(row["last_accuracy"]) for _, row in positions], places, c=LAST, s=14, label="last")
    accuracy.set_xscale("log")
    accuracy.xaxis.set_major_formatter(ScalarFormatter())
    accuracy.xaxis.set_minor_formatter(ScalarFormatter())
    accuracy.tick_params(axis="x", which="minor", labelsize=7)
    accuracy.set_xlabel("test error, % (further left is better)")
    accuracy.legend(fontsize=8, loc="lower right")
    ratios = [row["ei_ratio"] for _, row in positions]
    ratio.scatter(ratios, places, c=LAST, s=16)
    if max(ratios) > WIDE * min(ratios):
        ratio.set_xscale("log")
        ratio.xaxis.set_minor_formatter(NullFormatter())
    else:
        ratio.set_xlim(left=0)
    ratio.axvline(4.0, color=BASELINE, linewidth=1)
    ratio.set_xlabel("E-I ratio")
    timed = [(row["time_factor"], place) for place, row in positions if row["time_factor"] is not None]
    factor.scatter([value for value, _ in timed], [place for _, place in timed], c=LAST, s=16)
    factor.axvline(1.0, color=BASELINE, linewidth=1)
    factor.set_xlim(left=0)
    factor.set_xlabel("time of a training step / baseline's")
    accuracy.set_yticks(places, [_label(row) for _, row in positions], fontsize=8)
    for place, title in titles:
        accuracy.text(
            0.0, place, title, transform=accuracy.get_yaxis_transform(), fontsize=9, weight="bold", va="center"
        )
    accuracy.set_ylim(height - 0.6, -0.9)
    for axes in (accuracy, ratio, factor):
        axes.grid(axis="x", alpha=0.3)
    return figure


def _error(accuracy: float) -> float:
    return max(100 * (1 - accuracy), FLOOR)


def _label(row: Mapping[str, Any]) -> str:
    marks = " †" * row["drift"] + " ‡" * (row["silent"] is not None)
    return f"{row['variant']}{' (baseline)' if row['is_baseline'] else ''}{marks}"

"""Comparisons and ablations in pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tide.plots.axes import COLOURS, PANELS, show_attention, show_image, shown_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# All variants of an ablation in one picture: accuracy, E-I ratio and time, study by study.


BEST, LAST, BASELINE = "#999999", "#c0392b", "#2d6ca2"
WIDE = 10  # greatest over least E-I ratio that still fits a linear axis
FLOOR = 0.05  # percent: where no image of the test split is wrong


def draw_ablation(result: Mapping[str, Any]) -> Figure:
    """Draw what :func:`tide.studies.ablation.ablation_result` returned; studies on other data are left out."""
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
    accuracy.set_xlabel(f"{result['measured_on']} error, % (further left is better)")
    accuracy.legend(fontsize=8, loc="lower right")
    ratios = [(row["ei_ratio"], place) for place, row in positions if row["ei_ratio"] is not None]
    ratio.scatter([value for value, _ in ratios], [place for _, place in ratios], c=LAST, s=16)
    if ratios and max(ratios)[0] > WIDE * min(ratios)[0]:
        ratio.set_xscale("log")
        ratio.xaxis.set_minor_formatter(NullFormatter())
    else:
        ratio.set_xlim(left=0)
    for place, row in positions:
        if row.get("ratio_target") is not None:  # results of earlier versions do not say it
            ratio.vlines(row["ratio_target"], place - 0.5, place + 0.5, color=BASELINE, linewidth=1)
    ratio.set_xlabel("E-I ratio; line: its target")
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


# Several models side by side: learning curves, accuracy over ticks, joint outcomes, attention on the same images.


Array = npt.NDArray[Any]
OUTCOMES = {"both": "#4c9a5b", "only_first": "#c0392b", "only_second": "#2d6ca2", "none": "#999999"}


def draw_comparison(result: Mapping[str, Any]) -> Figure:
    """Draw what :func:`tide.studies.comparison.compare` returned."""
    from matplotlib.figure import Figure

    models, pairs = result["models"], result["pairs"]
    figure = Figure(figsize=(13, 8 if pairs else 4.2), layout="constrained")
    figure.suptitle(f"{result['data']}: {result['steps']} steps of {result['batch']} images, {result['ticks']} ticks")
    panels = figure.subplots(2 if pairs else 1, 2, squeeze=False)
    curve, ticks = panels[0]
    for (name, model), colour in zip(models.items(), _colours(len(models)), strict=True):
        points = model["curve"]
        _band(curve, [p["step"] for p in points], points, name, colour)
        values = model["accuracy_per_tick"]
        _band(ticks, list(range(1, len(values) + 1)), values, name, colour)
    curve.set_title(
        f"accuracy on the first {result['curve_images']} {result['measured_on']} images; band: ± std over seeds",
        fontsize=10,
    )
    curve.set_xlabel("step")
    ticks.set_title("accuracy at every fixed tick after the last step; band: ± std over seeds", fontsize=10)
    ticks.set_xlabel("tick")
    for axes in (curve, ticks):
        axes.set_ylabel("accuracy, %")
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right")
    if pairs:
        _outcomes(panels[1, 0], pairs, result["measured_on"])
        _certainty(panels[1, 1], models)
    return figure


def _colours(count: int) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(count)]


def _band(axes: Axes, x: Sequence[int], values: Sequence[Mapping[str, float | None]], name: str, colour: str) -> None:
    mean = 100 * np.array([value["mean"] for value in values], dtype=float)
    std = 100 * np.array([value["std"] or 0.0 for value in values], dtype=float)
    axes.plot(x, mean, color=colour, label=name)
    axes.fill_between(x, mean - std, mean + std, color=colour, alpha=0.2, linewidth=0)


def _outcomes(axes: Axes, pairs: Mapping[str, Mapping[str, float]], measured_on: str) -> None:
    """Stacked bars: the shares of images that both, one or none of two models gets right."""
    for row, pair in enumerate(pairs.values()):
        left = 0.0
        for outcome, colour in OUTCOMES.items():
            share = 100 * pair[outcome]
            label = outcome.replace("_", " ") if row == 0 else None
            axes.barh(row, share, left=left, color=colour, label=label)
            if share >= 6:
                axes.text(left + share / 2, row, f"{share:.1f}", ha="center", va="center", color="white", fontsize=9)
            left += share
        rest = " / ".join(f"{100 * pair[outcome]:.1f}" for outcome in list(OUTCOMES)[1:])
        axes.text(101, row, f"κ {pair['kappa']:.2f}\n{rest}", va="center", fontsize=8)
    axes.set_yticks(range(len(pairs)), list(pairs))
    axes.invert_yaxis()
    axes.set_xlim(0, 122)
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel(f"share of {measured_on} images, %")
    axes.set_title("who is right; on the right κ and only first / only second / none in %", fontsize=10)
    axes.legend(fontsize=8, ncols=4, loc="lower center", bbox_to_anchor=(0.5, -0.32))


def _certainty(axes: Axes, models: Mapping[str, Mapping[str, Any]]) -> None:
    """Bars: mean certainty, and the expected calibration error."""
    names, width = list(models), 0.38
    for offset, key, colour in ((-width / 2, "certainty", "#555555"), (width / 2, "calibration_error", "#b8860b")):
        mean = [models[name][key]["mean"] for name in names]
        std = [models[name][key]["std"] or 0.0 for name in names]
        bars = axes.bar(
            np.arange(len(names)) + offset, mean, width, yerr=std, color=colour, label=key.replace("_", " ")
        )
        axes.bar_label(bars, fmt="%.3f", fontsize=8, padding=2)
    axes.set_xticks(range(len(names)), names)
    axes.set_ylim(0, 1.3)
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.set_title("mean certainty and calibration error of the answers", fontsize=10)
    axes.legend(fontsize=8, loc="upper right")


@dataclass(frozen=True)
class Gaze:
    """One model's attention to one image: ``attention`` (T, rows, columns), mean over heads, or None; its answer."""

    model: str
    attention: Array | None
    answer: str


def draw_attention(images: Sequence[Array], labels: Sequence[str], gazes: Sequence[Sequence[Gaze]]) -> Figure:
    """Draw each image (H, W, 1 or 3) in [0, 1] with every model's attention to it over ticks (paper, Figure A.1)."""
    from matplotlib.figure import Figure

    rows = sum(len(group) for group in gazes)
    figure = Figure(figsize=(1.75 * (PANELS + 1), 1.9 * rows), layout="constrained")
    panels = figure.subplots(rows, PANELS + 1, squeeze=False)
    row = 0
    for image, label, group in zip(images, labels, gazes, strict=True):
        for gaze in group:
            ticks = shown_ticks(len(gaze.attention)) if gaze.attention is not None else []
            show_image(panels[row, 0], image)
            panels[row, 0].set_title(f"{gaze.model}: {gaze.answer}\nlabelled {label}", fontsize=8)
            for axes in panels[row, 1 + len(ticks) :]:
                axes.set_axis_off()
            for axes, tick in zip(panels[row, 1:], ticks, strict=False):
                assert gaze.attention is not None
                show_attention(axes, image, gaze.attention[tick], gaze.attention[ticks].max())
                axes.set_title(f"tick {tick + 1}", fontsize=8)
            row += 1
    return figure

"""Adaptive compute in pictures: what stopping early costs, and what ticks buy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tide.data import ImageSet, LabelledSet, to_float
from tide.evaluate.halting import HaltingSweep
from tide.evaluate.thinking import LongerThought
from tide.plots.axes import show_image, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# Adaptive compute in one picture: speed against accuracy, who stops when, longer thought, easy and hard images.


Array = npt.NDArray[Any]


def draw_halting(sweep: HaltingSweep, longer: LongerThought, split: LabelledSet, title: str) -> Figure:
    """Draw a sweep over thresholds and a longer thought on the images of ``split``; of other inputs, no examples."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 9 if isinstance(split, ImageSet) else 4), layout="constrained")
    figure.suptitle(title)
    if not isinstance(split, ImageSet):
        _speed_and_longer(figure, sweep, longer)
        return figure
    parts: Array = np.asarray(figure.subfigures(2, 1, height_ratios=(1.0, 1.25)))
    upper, lower = parts
    _speed_and_longer(upper, sweep, longer)
    classes, images = np.asarray(lower.subfigures(1, 2))
    _stopping(classes.subplots(), sweep, split.classes, classes)
    _strips(images, sweep, split)
    return figure


def _speed_and_longer(figure: Any, sweep: HaltingSweep, longer: LongerThought) -> None:
    speed, ticks = figure.subplots(1, 2)
    _speed(speed, sweep)
    _longer(ticks, longer)


def _speed(axes: Axes, sweep: HaltingSweep) -> None:
    halted = [run for run in sweep.runs if run.threshold is not None]
    whole = next(run for run in sweep.runs if run.threshold is None)
    axes.plot([run.speed_up for run in halted], [100 * run.accuracy for run in halted], "o-", color="#c0392b")
    axes.margins(y=0.12)
    for number, run in enumerate(halted):
        axes.annotate(
            f"{run.threshold:g}",
            (run.speed_up, 100 * run.accuracy),
            textcoords="offset points",
            xytext=(4, 5 if number % 2 else -12),
            fontsize=8,
        )
    axes.axhline(100 * whole.accuracy, color="#2d6ca2", linewidth=1, label=f"no halting: {100 * whole.accuracy:.2f} %")
    axes.axvline(1.0, color="0.8", linewidth=1)
    axes.set_xlabel("measured speed-up over no halting")
    axes.set_ylabel("accuracy, %")
    axes.set_title("accuracy and speed at each threshold of certainty", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower left")


def _longer(axes: Axes, longer: LongerThought) -> None:
    ticks = np.arange(1, len(longer.fixed_tick) + 1)
    axes.plot(ticks, 100 * np.array(longer.fixed_tick), color="#2d6ca2", label="at that tick")
    axes.plot(ticks, 100 * np.array(longer.most_certain_so_far), color="#c0392b", label="at the most certain so far")
    axes.axvline(longer.trained_ticks, color="0.5", linestyle="--", label=f"trained with {longer.trained_ticks} ticks")
    axes.set_xlabel("tick")
    axes.set_ylabel("accuracy, %")
    whole_numbers(axes)
    axes.set_title("thinking longer than trained", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")


def stopping_shares(sweep: HaltingSweep, classes: int) -> Array:
    """Return the share of each class's images that stops at each tick, (classes, most ticks)."""
    most = int(sweep.ticks.max())
    shares: Array = np.zeros((classes, most))
    np.add.at(shares, (sweep.labels.numpy(), sweep.ticks.numpy() - 1), 1.0)
    normalised: Array = shares / np.maximum(shares.sum(1, keepdims=True), 1.0)
    return normalised


def _stopping(axes: Axes, sweep: HaltingSweep, classes: Sequence[str], figure: Any) -> None:
    shares = stopping_shares(sweep, len(classes))
    shown = axes.imshow(
        100 * shares,
        aspect="auto",
        cmap="viridis",
        interpolation="nearest",
        extent=(0.5, shares.shape[1] + 0.5, len(classes) - 0.5, -0.5),
    )
    for index in range(len(classes)):
        mean = sweep.ticks[sweep.labels == index].double().mean()
        axes.plot(mean, index, "o", color="#e74c3c", markersize=5)
    if len(classes) <= 20:
        axes.set_yticks(range(len(classes)), classes, fontsize=8)
    axes.set_xlabel("tick")
    whole_numbers(axes)
    axes.set_title(f"where the images of each class stop, threshold {sweep.shown:g} (red: mean)", fontsize=10)
    figure.colorbar(shown, ax=axes, label="% of the class", pad=0.01)


def _strips(figure: Any, sweep: HaltingSweep, split: ImageSet) -> None:
    easy, hard = sweep.easiest(), sweep.hardest()
    columns = max(len(easy), len(hard)) // 2 or 1
    panels = figure.subplots(4, columns, squeeze=False)
    figure.suptitle("easiest (upper two rows) and hardest images: ticks, label", fontsize=10)
    for axes in panels.flatten():
        axes.set_axis_off()
    for rows, chosen in ((panels[:2], easy), (panels[2:], hard)):
        for axes, index in zip(rows.flatten(), chosen, strict=False):
            show_image(axes, to_float(split.images[index].cpu()).permute(1, 2, 0).numpy())
            wrong = "" if bool(sweep.right[index]) else ", wrong"
            name = split.classes[int(sweep.labels[index])]
            axes.set_title(f"{int(sweep.ticks[index])}, {name}{wrong}", fontsize=7)


# What internal ticks buy, in one picture: accuracy by the number of ticks trained with, and tick by tick.


EQUAL = {"ticks": ("equal parameters", "#2d6ca2"), "ticks-at-equal-operations": ("equal operations", "#c0392b")}


def has_ticks(result: Mapping[str, Any]) -> bool:
    """Return whether an ablation has what :func:`draw_ticks` draws."""
    return any(result["studies"].get(name, {}).get("rows") for name in EQUAL)


def draw_ticks(result: Mapping[str, Any]) -> Figure:
    """Draw the studies of ticks of what :func:`tide.studies.ablation.ablation_result` returned."""
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

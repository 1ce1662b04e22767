"""Robustness in pictures: accuracy over severity, differences to the baseline, corrupted images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tide.corruptions import CORRUPTIONS, EXTRA, MNIST_C, SEVERITIES, corrupt, smallest
from tide.plots.axes import COLOURS, show_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# Robustness in pictures: accuracy over severity, differences to the baseline, and example images with answers.


Array = npt.NDArray[Any]


def draw_severity(result: Mapping[str, Any]) -> Figure:
    """Draw accuracy over severity, a panel for each corruption; severity 0 is the clean images."""
    from matplotlib.figure import Figure

    shifts = {name: levels for name, levels in result["shifts"].items() if levels != [None]}
    columns = 5
    rows = math.ceil(len(shifts) / columns)
    figure = Figure(figsize=(3 * columns, 2.3 * rows + 0.5), layout="constrained")
    figure.suptitle(f"{result['suite']}: accuracy over severity, {result['images']} images")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in panels.flatten()[len(shifts) :]:
        axes.set_axis_off()
    for axes, (shift, levels) in zip(panels.flatten(), shifts.items(), strict=False):
        for (name, model), colour in zip(result["models"].items(), colours_of(result), strict=True):
            cells = {level: model["cells"][f"{shift}-{level}"]["accuracy"] for level in levels}
            if "clean" in model["cells"]:
                cells = {0: model["cells"]["clean"]["accuracy"], **cells}
            axes.plot(
                list(cells), [100 * value for value in cells.values()], "o-", markersize=3, color=colour, label=name
            )
        axes.set_title(shift.replace("_", " "), fontsize=9)
        axes.grid(alpha=0.3)
    _legend(figure, panels[0, 0], "outside lower center")
    for row in panels:
        row[0].set_ylabel("accuracy, %")
    for axes in panels.flatten()[max(0, len(shifts) - columns) : len(shifts)]:  # the lowest of each column
        axes.set_xlabel("severity")
        axes.tick_params(labelbottom=True)
    return figure


def draw_differences(result: Mapping[str, Any], among: int | None = None) -> Figure:
    """Draw the accuracy of each shift, and its difference to the baseline with intervals.

    ``among`` is how many classes competed, where they were not all.
    """
    from matplotlib.figure import Figure

    names = list(result["shifts"])
    figure = Figure(figsize=(13, 1.6 + 0.32 * len(names)), layout="constrained")
    accuracy, difference = figure.subplots(1, 2, sharey=True)
    places, width = np.arange(len(names)), 0.8 / len(result["models"])
    for number, ((name, model), colour) in enumerate(zip(result["models"].items(), colours_of(result), strict=True)):
        offset = (number - (len(result["models"]) - 1) / 2) * width
        rows = [model["by_shift"][shift] for shift in names]
        accuracy.barh(places + offset, [100 * row["accuracy"] for row in rows], width, color=colour, label=name)
        if name != result["baseline"]:
            _intervals(difference, places + offset, [row["difference"] for row in rows], colour, name)
    accuracy.set_yticks(places, [name.replace("_", " ") for name in names], fontsize=8)
    accuracy.set_ylim(len(names) - 0.4, -0.6)
    accuracy.set_xlabel(f"accuracy{f' among {among} classes' if among else ''}, mean over severities, %")
    difference.axvline(0, color="0.4", linewidth=1)
    difference.set_xlabel(f"accuracy less that of {result['baseline']}, points (95 % interval over images)")
    for axes in (accuracy, difference):
        axes.grid(axis="x", alpha=0.3)
    _legend(figure, accuracy, "outside upper center")
    return figure


def _intervals(axes: Axes, places: Array, rows: Sequence[Mapping[str, float]], colour: str, name: str) -> None:
    mean = 100 * np.array([row["mean"] for row in rows])
    low, high = (100 * np.array([row[side] for row in rows]) for side in ("low", "high"))
    axes.errorbar(mean, places, xerr=(mean - low, high - mean), fmt="o", color=colour, markersize=4, label=name)


def draw_sheet(
    images: Mapping[str, Sequence[Array]],
    answers: Mapping[str, Sequence[Mapping[str, str]]],
    truths: Mapping[str, Sequence[str]],
) -> Figure:
    """Draw example images: a row for each shift, a column for each image; below each the models' answers.

    ``images`` by shift: arrays (H, W, 1 or 3) in [0, 1]; ``answers`` by shift and image: each model's answer; wrong
    ones are told from right ones by ``truths``, the label of each image by shift.
    """
    from matplotlib.figure import Figure

    columns = max(len(labels) for labels in truths.values())
    figure = Figure(figsize=(1.9 * columns + 1.2, 2.05 * len(images) + 0.6), layout="constrained")
    panels = figure.subplots(len(images), columns, squeeze=False)
    for axes in panels.flatten():
        axes.set_axis_off()
    for row, (shift, pictures) in zip(panels, images.items(), strict=True):
        for column, (axes, picture) in enumerate(zip(row, pictures, strict=False)):
            show_image(axes, picture)
            truth = truths[shift][column]
            lines = [
                f"{model}: {answer}{'' if answer == truth else f' (is {truth})'}"
                for model, answer in answers[shift][column].items()
            ]
            axes.set_title("\n".join(lines), fontsize=6, loc="left")
        row[0].text(
            -0.12, 0.5, shift.replace("_", " "), transform=row[0].transAxes, rotation=90, va="center", fontsize=8
        )
    return figure


def _legend(figure: Figure, axes: Axes, place: Literal["outside upper center", "outside lower center"]) -> None:
    """Name the models once, in one line beside all panels: within them there is no place that no curve may need."""
    handles, models = axes.get_legend_handles_labels()
    figure.legend(handles, models, loc=place, ncols=len(models), fontsize=8)


def colours_of(result: Mapping[str, Any]) -> list[str]:
    """Return a colour for each model: one of its own, or of several seeds a lighter one for each further seed."""
    from matplotlib.colors import to_hex, to_rgb

    groups = [list(group["runs"].values()) for group in result["seeds"]["models"].values()] if "seeds" in result else []
    groups = groups or [[name] for name in result["models"]]
    shades = {}
    for number, names in enumerate(groups):
        red, green, blue = to_rgb(COLOURS[number % len(COLOURS)])
        for place, name in enumerate(names):
            depth = 0.65**place  # of the colour over white
            shades[name] = to_hex((1 - (1 - red) * depth, 1 - (1 - green) * depth, 1 - (1 - blue) * depth))
    return [shades[name] for name in result["models"]]


# Corrupted images side by side, to be looked at before their scores are believed.


def draw_corruptions(
    images: Tensor, *, names: Sequence[str] | None = None, seed: int = 0, indices: Tensor | None = None
) -> Figure:
    """Draw a row for each corruption and a column for no corruption and each severity.

    Args:
        images: shown next to one another in each cell, uint8, shape (N, 1 or 3, H, W).
        names: the corruptions to show; all that images of this size allow where left out.
        seed: as for :func:`~tide.corruptions.corrupt`.
        indices: as there; with those of the data set the sheet shows what an evaluation sees.

    Returns:
        The figure.

    Raises:
        DataError: a name is unknown or the images are of another type or shape.
    """
    from matplotlib.figure import Figure

    if names is None:
        side = min(images.shape[2:])
        names = [name for name in (*CORRUPTIONS, *EXTRA, *MNIST_C) if smallest(name) <= side]
    shape = (len(names), 1 + len(SEVERITIES))
    cell = 1.1 * images.shape[3] / images.shape[2]
    figure = Figure(figsize=(1.3 + len(images) * cell * shape[1], 0.25 + 1.15 * shape[0]), layout="constrained")
    cells = figure.subplots(*shape, squeeze=False)
    for axes, severity in zip(cells[0], (0, *SEVERITIES), strict=True):
        axes.set_title(f"severity {severity}" if severity else "clean", fontsize=9)
    for row, name in zip(cells, names, strict=True):
        _strip(row[0], images)
        row[0].text(
            -0.03, 0.5, name.replace("_", "\n"), fontsize=9, ha="right", va="center", transform=row[0].transAxes
        )
        for axes, severity in zip(row[1:], SEVERITIES, strict=True):
            _strip(axes, corrupt(images, name, severity, seed=seed, indices=indices))
    return figure


def _strip(axes: Axes, images: Tensor) -> None:
    strip = torch.cat(list(images), dim=2).permute(1, 2, 0)
    show_image(axes, strip.double().div(255).numpy())

"""Does it think on? What changes from tick to tick, and what thinking longer than trained does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tide.errors import InputError
from tide.evaluate.thinking import LongerThought
from tide.plots.axes import COLOURS, whole_numbers
from tide.runs.folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHANGES = {
    "activity_change": "activity, relative",
    "query_change": "query of the attention, 1 − cosine",
    "attention_change": "attention, absolute (at most 2)",
}


def draw_thinking(run: Path) -> Figure:
    """Draw what the last evaluation of a run found; raises :class:`InputError` where it did not look."""
    from matplotlib.figure import Figure

    folder = RunFolder.open(run)
    tests = [line for line in folder.metrics("evaluation") if "thinking" in line]
    if not tests:
        raise InputError(f"{run} must hold an evaluation of this version, got none; train on with --resume")
    last, core = tests[-1], folder.config.core
    thinking: Mapping[str, Any] = last["thinking"]
    split = "recurrent" in thinking
    figure = Figure(figsize=(10, 7.2), layout="constrained")
    figure.suptitle(f"does it think on? {run.name}, step {last['step']}: {core.population}, {core.ticks} ticks")
    accuracy, changes, dimensions, inputs = figure.subplots(2, 2).flatten()

    _line(accuracy, [100 * value for value in last["accuracy_per_tick"]], COLOURS[0], "accuracy, %")
    if "whole_accuracy_per_tick" in last:
        _line(accuracy, [100 * value for value in last["whole_accuracy_per_tick"]], COLOURS[1], "whole answers, %")
    certainty = [100 * value for value in last["certainty_per_tick"]]
    _line(accuracy, certainty, COLOURS[5], "certainty, %", linestyle=":")
    accuracy.set_title(f"what a tick answers ({folder.config.data.measured_on})")

    for colour, (name, title) in zip(COLOURS, CHANGES.items(), strict=False):
        if name in thinking:
            _line(changes, thinking[name], colour, title)
    changes.set_yscale("log")
    changes.set_title("change from the tick before")

    _line(dimensions, thinking["dimensions"], COLOURS[3], f"of {core.neurons}")
    dimensions.set_ylim(bottom=0)
    dimensions.set_title("dimensions of the activity over samples")
    dimensions.set_ylabel("participation ratio")

    if split:
        _line(inputs, thinking["drive"], COLOURS[1], "what attention brings in")
        _line(inputs, thinking["recurrent"], COLOURS[0], "what the network brings back")
        inputs.set_ylim(bottom=0)
        inputs.set_title("deviation over samples of a neuron's input")
    else:
        inputs.remove()
    for axes in figure.axes:
        axes.set_xlabel("tick")
        axes.title.set_fontsize(10)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
        whole_numbers(axes)
    return figure


def _line(axes: Axes, values: Any, colour: str, name: str, **style: Any) -> None:
    numbers = np.array([np.nan if value is None else value for value in values], dtype=float)
    axes.plot(np.arange(1, len(numbers) + 1), numbers, color=colour, label=name, marker=".", **style)


def draw_longer(thoughts: Mapping[str, LongerThought]) -> Figure:
    """Draw, for each model by name, the accuracy when it thinks on past the ticks that it was trained with."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    for colour, (name, longer) in zip(COLOURS, thoughts.items(), strict=False):
        ticks = np.arange(1, len(longer.fixed_tick) + 1) / longer.trained_ticks
        axes.plot(ticks, 100 * np.array(longer.fixed_tick), color=colour, label=f"{name}, at that tick")
        certain = 100 * np.array(longer.most_certain_so_far)
        axes.plot(ticks, certain, color=colour, linestyle="--", label=f"{name}, at the most certain so far")
    axes.axvline(1, color="0.5", linestyle=":", label="as long as trained")
    axes.set_xscale("log")
    axes.set_xlabel("ticks, of those trained with")
    axes.set_ylabel("accuracy, %")
    axes.set_title("thinking longer than trained", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure

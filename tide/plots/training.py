"""How a run went: losses, accuracy, balance, spectra, gradients and memory over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tide.config import TERMS, CoreConfig
from tide.plots.axes import headroom, whole_numbers
from tide.runs.folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Lines = Sequence[dict[str, float | None]]
RIGHT = "right"  # marks axes whose scale is on the right, and so their legend
SMOOTHING = 9  # readings of the running median that is drawn over noisy curves


def draw_training(run: Path) -> Figure:
    """Draw the metrics of a run folder; raises :class:`~tide.errors.CheckpointError` where they cannot be read."""
    from matplotlib.figure import Figure

    folder = RunFolder.open(run)
    train, monitor, probes, tests = (folder.metrics(kind) for kind in ("train", "monitor", "probe", "evaluation"))
    config = folder.config
    core, measured_on = config.core, config.data.measured_on
    ticks = tests[-1] if tests and "loss_per_tick" in tests[-1] else None  # runs of earlier versions lack it
    rows = 1 + isinstance(core, CoreConfig) + (ticks is not None)
    figure = Figure(figsize=(13, 3.75 * rows), layout="constrained")
    figure.suptitle(f"{run.name}: {config.data.title}, {core.population}, {core.ticks} ticks")
    losses, accuracy, gradients, *inside = figure.subplots(rows, 3).flatten()

    _curves(
        losses,
        train,
        _present(train, [term.name for term in TERMS if term.ramped or not term.of_populations]),
        smooth=True,
    )
    losses.set_yscale("log")
    losses.set_title("loss terms, unweighted")

    _curves(accuracy, train, ("accuracy",), smooth=True, names=("training batches",))
    if probes:
        _curves(accuracy, probes, ("accuracy",), names=(f"first {probes[0]['images']} {measured_on} images",))
    read = (measured_on, f"{measured_on}, last tick")
    _curves(accuracy, tests, ("accuracy", "accuracy_last_tick"), marker="o", names=read)
    accuracy.set_ylim(top=1.0, bottom=_lowest(tests))
    accuracy.set_title("accuracy")

    names = [key for key in (monitor[0] if monitor else {}) if key.startswith("gradient_")]
    _curves(gradients, monitor, names, names=[name.removeprefix("gradient_") for name in names])
    limit = config.train.clip.total
    _curves(gradients, train, ("gradient_norm",), smooth=True, names=("all, before clipping",), colour="black")
    gradients.set_yscale("log")
    clipped = f"; {_share_above(train, limit):.0%} of steps clipped" if limit is not None else ""
    gradients.set_title(f"gradient norms, after clipping{clipped}")

    if isinstance(core, CoreConfig):
        _populations(inside[:3], train, monitor, core.ratio_target)
    for axes in figure.axes:
        axes.set_xlabel("step")
    if ticks is not None:
        _ticks(inside[-3:], ticks, probes if len(probes) > len(tests) else tests)
    for axes in figure.axes:
        axes.title.set_fontsize(10)
        whole_numbers(axes)
        named = len(axes.get_legend_handles_labels()[0])
        if named > 3 or (named and axes.get_label() == RIGHT):  # too much to lie in a corner
            headroom(axes, 0.28 if named > 6 else 0.18)
        if named:
            axes.legend(fontsize=7, loc=_place(axes, named), ncols=2 + (named < 9) if named > 3 else 1)
    return figure


def _place(axes: Axes, named: int) -> Literal["upper right", "upper left", "best"]:
    """Return where a legend lies: above the curves where it is large, on the side of its scale where there are two."""
    if axes.get_label() == RIGHT:
        return "upper right"
    return "upper left" if named > 3 else "best"


def _ticks(panels: Sequence[Axes], last: Mapping[str, Any], read: Sequence[Mapping[str, Any]]) -> None:
    """Draw what the ticks do for the answer, in the last evaluation, and how far they hedged over the steps."""
    right, sure, gap = panels
    number = np.arange(1, len(last["accuracy_per_tick"]) + 1)
    share = right.twinx()
    share.set_label(RIGHT)
    share.bar(number, last["answering_ticks"], color="0.85")
    share.set_ylabel("bars: share of images answered here", fontsize=7)
    share.set_ylim(0, 1)
    right.set_zorder(share.get_zorder() + 1)  # curves in front of bars
    right.patch.set_visible(False)
    right.plot(number, last["accuracy_per_tick"], color="C0", label="accuracy at this tick")
    right.axhline(last["accuracy"], color="C0", linestyle=":", label="at the most certain tick")
    right.axhline(last["oracle_accuracy"], color="C3", linestyle=":", label="oracle: at the tick of least loss")
    right.set_title("the answer over ticks, last evaluation")
    right.set_xlabel("tick")

    sure.plot(number, last["certainty_per_tick"], color="C1", label="certainty")
    sure.plot(number, last["loss_per_tick"], color="C2", label="cross-entropy, nats")
    sure.set_title("certainty and cross-entropy over ticks, last evaluation")
    sure.set_xlabel("tick")
    sure.set_ylim(bottom=0)

    steps = [line["step"] for line in read]
    lost = [100 * (line["accuracy"] - line["accuracy_last_tick"]) for line in read]
    gap.plot(steps, [100 * line["hedging"] for line in read], "o-", color="C3", markersize=3, label="oracle above it")
    gap.plot(steps, lost, "o-", color="C0", markersize=3, label="last tick below it")
    gap.axhline(0, color="0.7", linewidth=1)
    gap.set_title("against the most certain tick, points")
    gap.set_xlabel("step")


def _populations(panels: Sequence[Axes], train: Lines, monitor: Lines, ratio_target: float) -> None:
    """Draw what only a model with two populations has: balance, spectra, memory."""
    balance, spectra, memory = panels
    _curves(balance, monitor, ("rate_e", "rate_i", "silent_e", "silent_i"))
    balance.set_title("mean rates, silent shares; right: E-I ratio")
    ratio = balance.twinx()
    ratio.set_label(RIGHT)
    _curves(ratio, train, ("ei_ratio",), smooth=True, names=("E-I ratio",), colour="black")
    ratio.axhline(ratio_target, color="0.7", linewidth=1)
    ratio.set_ylim(0, 2 * ratio_target)

    _curves(spectra, monitor, ("perron_ee", "perron_ii", "sigma_ee", "sigma_ei", "sigma_ie", "sigma_ii"))
    spectra.set_title("Perron estimates and greatest singular values")

    _curves(memory, monitor, _present(monitor, ("surprise", "gate")))
    memory.set_yscale("log")  # single batches surprise a hundred times as much as others
    memory.set_title("memory: surprise and retention gate")


def _present(lines: Lines, keys: Sequence[str]) -> list[str]:
    """Return the keys that this run has."""
    return [key for key in keys if lines and key in lines[0]]


def _share_above(train: Lines, limit: float) -> float:
    """Return the share of readings whose gradient norm is above the limit, and so was clipped."""
    norms = [line["gradient_norm"] or 0.0 for line in train]
    return sum(norm > limit for norm in norms) / max(1, len(norms))


def _lowest(tests: Lines) -> float:
    """Return where the accuracy axis begins: below the worst test, so that the differences show."""
    found = [line["accuracy"] for line in tests]
    values = [value for value in found if value is not None]
    return max(0.0, 1 - 2.5 * (1 - min(values))) if values else 0.0


def _curves(
    axes: Axes,
    lines: Lines,
    keys: Sequence[str],
    *,
    names: Sequence[str] | None = None,
    smooth: bool = False,
    marker: str | None = None,
    colour: str | None = None,
) -> None:
    """Draw one curve per key; a noisy one as a faint line under its running median."""
    steps = np.array([line["step"] for line in lines], dtype=float)
    for key, name in zip(keys, names or keys, strict=True):
        values = np.array([np.nan if line[key] is None else line[key] for line in lines], dtype=float)
        if not smooth:
            axes.plot(steps, values, marker=marker, markersize=3, color=colour, label=name)
            continue
        (faint,) = axes.plot(steps, values, alpha=0.25, linewidth=0.8, color=colour)
        half = SMOOTHING // 2
        median = [np.nanmedian(values[max(0, k - half) : k + half + 1]) for k in range(len(values))]
        axes.plot(steps, median, color=faint.get_color(), label=name)

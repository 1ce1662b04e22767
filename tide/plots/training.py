"""How a run went, step by step, and the stability of what it trained."""

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

Lines = Sequence[Mapping[str, Any]]
RIGHT = "right"  # marks axes whose scale is on the right, and so their legend
SPECTRA = ("perron_ee", "perron_ii", "sigma_ee", "sigma_ei", "sigma_ie", "sigma_ii")  # read by the monitor
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

    _gradients(gradients, monitor)
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

    _curves(spectra, monitor, SPECTRA)
    spectra.set_title("Perron estimates and greatest singular values")

    _curves(memory, monitor, _present(monitor, ("surprise", "gate")))
    memory.set_yscale("log")  # single batches surprise a hundred times as much as others
    memory.set_title("memory: surprise and retention gate")


def _present(lines: Lines, keys: Sequence[str]) -> list[str]:
    """Return the keys that this run has."""
    return [key for key in keys if lines and key in lines[0]]


def _share_above(train: Lines, limit: float) -> float:
    """Return the share of readings whose gradient norm is above the limit, and so was clipped."""
    norms: list[float] = [line["gradient_norm"] or 0.0 for line in train]
    return sum(norm > limit for norm in norms) / max(1, len(norms))


def _lowest(tests: Lines) -> float:
    """Return where the accuracy axis begins: below the worst test, so that the differences show."""
    values: list[float] = [line["accuracy"] for line in tests if line["accuracy"] is not None]
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
        values = np.array([np.nan if line.get(key) is None else line[key] for line in lines], dtype=float)
        if not smooth:
            axes.plot(steps, values, marker=marker, markersize=3, color=colour, label=name)
            continue
        (faint,) = axes.plot(steps, values, alpha=0.25, linewidth=0.8, color=colour)
        half = SMOOTHING // 2
        median = [np.nanmedian(values[max(0, k - half) : k + half + 1]) for k in range(len(values))]
        axes.plot(steps, median, color=faint.get_color(), label=name)


def _gradients(axes: Axes, monitor: Lines) -> None:
    """Draw the gradient norm of each component."""
    keys = [key for key in (monitor[0] if monitor else {}) if key.startswith("gradient_")]
    _curves(axes, monitor, keys, names=[key.removeprefix("gradient_") for key in keys])


# A network's stability: spectra, norms against Perron eigenvalues, training curves, approach, game.


EXCITATORY, INHIBITORY, NEUTRAL = "#c0392b", "#2d6ca2", "#555555"


def draw_stability(result: Mapping[str, Any], monitor: Lines, title: str) -> Figure:
    """Draw what :func:`tide.analysis.stability.analyse` returned, and the monitor's readings over training."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 12), layout="constrained")
    figure.suptitle(f"{title}; Lyapunov diagonal stability of the raw weights: {result['lds']['answer']}")
    spectra, middle, lower = np.asarray(figure.subfigures(3, 1, height_ratios=(1.15, 1, 1)))
    rows = result["spectra"]["rates"]
    for axes, row in zip(spectra.subplots(1, len(rows) + 1), [*rows, None], strict=True):
        if row is None:
            _wider(axes, result["spectra"])
        else:
            _circle(axes, row["eigenvalues"], f"tick {row['tick']}: ∂r/∂r, radius {row['radius_most']:.3f}")
    weights, curves, gradients = middle.subplots(1, 3)
    _weights(weights, result)
    _curves(curves, monitor, SPECTRA)
    curves.set_title("Perron estimates and greatest singular values over training", fontsize=10)
    _gradients(gradients, monitor)
    for axes in (curves, gradients):
        axes.set_xlabel("step")
        if monitor:
            axes.legend(fontsize=7)
    gradients.set_yscale("log")
    gradients.set_title("gradient norms over training, after clipping", fontsize=10)
    approach, game, dale = lower.subplots(1, 3)
    _approach(approach, result["fixed_points"])
    _game(game, result["game"])
    _dale(dale, result["dale"])
    return figure


def _circle(axes: Axes, eigenvalues: Sequence[Sequence[float]], title: str) -> None:
    values = np.asarray(eigenvalues)
    angle = np.linspace(0, 2 * np.pi, 200)
    axes.plot(np.cos(angle), np.sin(angle), color="0.7", linewidth=1)
    outside = np.hypot(values[:, 0], values[:, 1]) > 1
    axes.scatter(values[~outside, 0], values[~outside, 1], s=8, color=INHIBITORY)
    axes.scatter(values[outside, 0], values[outside, 1], s=16, color=EXCITATORY)
    axes.set_aspect("equal")
    axes.set_title(title, fontsize=9)
    axes.grid(alpha=0.2)


def _wider(axes: Axes, spectra: Mapping[str, Any]) -> None:
    both = [*spectra["core"]["leading"], *spectra["whole"]["leading"]]
    _circle(axes, both, "")
    axes.set_title(
        f"tick {spectra['last_tick']}, leading: with history {spectra['core']['radius']:.3f},\n"
        f"and attention {spectra['whole']['radius']:.3f}",
        fontsize=9,
    )


def _weights(axes: Axes, result: Mapping[str, Any]) -> None:
    raw = result["raw"]
    names = list(raw["sigma_max"])
    place = np.arange(len(names))
    axes.bar(place - 0.2, [raw["sigma_max"][name] for name in names], 0.4, color=NEUTRAL, label="σ_max, raw")
    perron = [raw["perron"].get(name, np.nan) for name in names]
    axes.bar(place + 0.2, perron, 0.4, color=EXCITATORY, label="Perron eigenvalue, raw")
    least = min(row["perron_ee_least"] for row in result["normalised"]["per_tick"])
    most = max(row["perron_ee_most"] for row in result["normalised"]["per_tick"])
    axes.errorbar(
        [0.2], [(least + most) / 2], [(most - least) / 2], fmt="k_", capsize=4, label="λ_P of W̃_EE at states met"
    )
    axes.axhline(1.0, color="0.5", linestyle="--", linewidth=1)
    axes.set_xticks(place, [f"W_{name.upper()}" for name in names])
    axes.set_title("norms and Perron eigenvalues of the weights", fontsize=10)
    axes.legend(fontsize=8)


def _approach(axes: Axes, fixed: Mapping[str, Any]) -> None:
    for index, path in enumerate(fixed["trajectories"]):
        distances = np.maximum(path["distances"], 1e-16)
        ticks = np.linspace(1, fixed["ticks_followed"], len(distances))
        axes.plot(ticks, distances, label=f"start {index + 1}")
    axes.set_yscale("log")
    axes.set_xlabel("tick")
    goal = "to the fixed point found" if fixed["found"] else "to the state it began from: no fixed point was found"
    axes.set_title(f"input held: distance {goal}", fontsize=10)
    axes.legend(fontsize=8)


def _game(axes: Axes, game: Mapping[str, Any]) -> None:
    ticks = np.arange(1, len(game["nash_residual"]) + 1)
    axes.plot(ticks, game["nash_residual"], color=NEUTRAL, label="Nash residual (rms over neurons)")
    axes.plot(ticks[1:], game["falling"], color=EXCITATORY, label="share of neurons whose own energy falls")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("tick")
    axes.set_title(f"the game on raw weights; H_E = {game['h_e']:.2f}, H_I = {game['h_i']:.2f}", fontsize=10)
    axes.legend(fontsize=8)


def _dale(axes: Axes, dale: Mapping[str, Any]) -> None:
    stages = list(dale["excitatory"])
    place = np.arange(len(stages))
    for shift, name, colour in ((-0.2, "excitatory", EXCITATORY), (0.2, "inhibitory", INHIBITORY)):
        bars = axes.bar(place + shift, [100 * dale[name][stage] for stage in stages], 0.4, color=colour, label=name)
        axes.bar_label(bars, fmt="%.0f", fontsize=8)
    axes.set_xticks(place, [f"after {stage}" for stage in stages], fontsize=8, rotation=12)
    axes.set_ylim(0, 118)
    axes.set_title("influences with the sign that Dale promises, %", fontsize=10)
    axes.legend(fontsize=8, loc="lower left")

"""A network's stability in one picture: spectra, norms against Perron eigenvalues, training curves, approach, game."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Lines = Sequence[Mapping[str, Any]]
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
    _training(curves, monitor, ("perron_ee", "perron_ii", "sigma_ee", "sigma_ei", "sigma_ie", "sigma_ii"))
    curves.set_title("Perron estimates and greatest singular values over training", fontsize=10)
    names = [key for key in (monitor[0] if monitor else {}) if key.startswith("gradient_")]
    _training(gradients, monitor, names)
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


def _training(axes: Axes, monitor: Lines, names: Sequence[str]) -> None:
    steps = [line["step"] for line in monitor]
    for name in names:
        values = np.array([np.nan if line.get(name) is None else line[name] for line in monitor], dtype=float)
        axes.plot(steps, values, label=name.removeprefix("gradient_"))
    axes.set_xlabel("step")
    if names and monitor:
        axes.legend(fontsize=7)


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

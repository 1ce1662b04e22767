"""How models learn to act: returns over environment steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from tide.plots.axes import COLOURS
from tide.runs.folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMOOTHING = 9  # updates of the running mean that is drawn


def draw_learning(runs: Mapping[str, Sequence[Path]]) -> Figure:
    """Draw returns, the policy and the populations of runs by name; several runs of a name are seeds of one model."""
    from matplotlib.figure import Figure

    folders = {name: [RunFolder.open(path) for path in paths] for name, paths in runs.items()}
    first = next(iter(folders.values()))[0]
    figure = Figure(figsize=(13, 4), layout="constrained")
    task = first.control.task
    figure.suptitle(f"{task.name}: {', '.join(f'{name} ({len(some)})' for name, some in folders.items())}")
    returns, policy, inside = figure.subplots(1, 3)
    for colour, (name, some) in zip(COLOURS, folders.items(), strict=False):
        _returns(returns, [folder.metrics("train") for folder in some], name, colour)
        _evaluations(returns, [folder.metrics("evaluation") for folder in some], colour)
        for folder in some:
            lines = folder.metrics("train")
            steps = [line["step"] for line in lines]
            policy.plot(steps, [line["entropy"] for line in lines], color=colour, linewidth=1, label=name)
            policy.plot(steps, [line["explained"] for line in lines], color=colour, linewidth=1, linestyle=":")
            if "ei_ratio" in lines[0]:
                inside.plot(steps, [line["ei_ratio"] for line in lines], color=colour, linewidth=1, label="E-I ratio")
                inside.plot(
                    steps, [line["silent_e"] for line in lines], color=colour, linestyle=":", label="silent E neurons"
                )
    returns.set_title("return: episodes of the training; dots: fixed episodes", fontsize=10)
    policy.set_title("entropy in nats; dotted: variance that the critic explains", fontsize=10)
    policy.set_ylim(-0.1, 1.1 * max(1.0, policy.get_ylim()[1] / 1.1))
    inside.set_title("populations", fontsize=10)
    if not inside.lines:
        inside.remove()
    for axes in figure.axes:
        axes.set_xlabel("environment steps, thousands")
        axes.xaxis.set_major_formatter(lambda step, _: f"{step / 1000:g}")
        axes.grid(alpha=0.3)
        handles, labels = axes.get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        if unique:
            axes.legend(unique.values(), unique.keys(), fontsize=8)
    return figure


def _returns(axes: Axes, runs: Sequence[Sequence[Mapping[str, Any]]], name: str, colour: str) -> None:
    """Draw the mean over seeds with its interval of 95 %, each run thin behind."""
    curves = []
    for lines in runs:
        steps = np.array([line["step"] for line in lines])
        values = np.array([np.nan if line["return"] is None else line["return"] for line in lines], dtype=float)
        if np.isfinite(values).sum() == 0:
            continue
        known = np.isfinite(values)
        filled = np.interp(steps, steps[known], values[known])
        smooth = np.convolve(np.pad(filled, SMOOTHING // 2, mode="edge"), np.ones(SMOOTHING) / SMOOTHING, "valid")
        axes.plot(steps, smooth, color=colour, linewidth=0.7, alpha=0.5)
        curves.append((steps, smooth))
    if not curves:
        return
    shortest = min(len(steps) for steps, _ in curves)
    together = np.stack([smooth[:shortest] for _, smooth in curves])
    steps, mean = curves[0][0][:shortest], together.mean(0)
    axes.plot(steps, mean, color=colour, linewidth=2, label=name)
    if len(curves) > 1:
        half = stats.t.ppf(0.975, len(curves) - 1) * together.std(0, ddof=1) / len(curves) ** 0.5
        axes.fill_between(steps, mean - half, mean + half, color=colour, alpha=0.15, linewidth=0)


def _evaluations(axes: Axes, runs: Sequence[Sequence[Mapping[str, Any]]], colour: str) -> None:
    for lines in runs:
        axes.plot([line["step"] for line in lines], [line["return_sampled"] for line in lines], ".", color=colour)

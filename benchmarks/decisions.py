"""Trials of neuroscience, side by side: ``python benchmarks/decisions.py RUN... --out results/decisions/NAME``.

Runs of one model and task and several seeds, whose names differ in the seed at the end, are one row: the share of 5,000
fresh trials that are right at every step, and at the last one. Of ``decision`` the picture shows the psychometric
curve: how often the first side is chosen, by signed coherence, with a fitted probit. Writes NAME.json, NAME.md and
NAME.png.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from matplotlib.figure import Figure
from reporting import COLOURS, check_names, interval, origin, publish, without_seed
from scipy import optimize, stats

from tide.data.drawn.trials import COHERENCES, DRAWS, draw_decision
from tide.evaluate.answers import evaluating
from tide.models.load import load
from tide.runs.folder import RunFolder

SEED = 2_000_101  # of fresh trials
PALETTE = {**COLOURS, "ei_rnn": "#8e5aa8"}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Read how well models do trials."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders of tasks of neuroscience."""
    out: Path
    """Path without extension."""
    trials: int = 5_000
    threads: int = 1


def read(path: Path, settings: Settings) -> dict[str, Any]:
    """Return what one run says: its last checkpoint, since the best one was chosen on the same kind of trials."""
    folder, model = RunFolder.open(path), load(path, checkpoint="last")
    config, name = folder.config, folder.config.data.name
    draw = DRAWS[name]
    with evaluating(model):
        shown, answers = draw(settings.trials, torch.Generator().manual_seed(SEED))
        right = model(shown).logits[..., -1].argmax(1) == answers
        row: dict[str, Any] = {
            "task": name,
            "core": config.core.kind,
            "seed": config.seed,
            "steps": config.train.steps,
            "seconds": folder.results()["seconds"],
            "parameters": sum(p.numel() for p in model.parameters()),
            "whole": float(right.all(1).double().mean()),
            "last": float(right[:, -1].double().mean()),
            "certified": model.cell.certified_rate(),
        }
        if name == "decision":
            row["psychometric"] = psychometric(model, settings.trials // 5)
    return row


def psychometric(model: Any, trials: int) -> list[tuple[float, float]]:
    """Return (signed coherence in %, share of decisions for the first side among the two), ascending."""
    curve = []
    for coherence in sorted({sign * value for value in COHERENCES for sign in (-1, 1)}):
        shown, answers = draw_decision(trials, torch.Generator().manual_seed(SEED + 1), abs(coherence))
        if coherence != 0:
            side = 1 if coherence > 0 else 2
            shown = shown[answers[:, -1] == side]
        decided = model(shown).logits[:, 1:, -1, -1].argmax(1) == 0
        curve.append((coherence, float(decided.double().mean())))
    return curve


def threshold(curve: Sequence[tuple[float, float]]) -> float:
    """Return the coherence in % at which a fitted probit Φ((c − μ)/σ) has 84 % of one side: its σ."""
    coherence, share = np.array(curve).T
    (_, sigma), _ = optimize.curve_fit(
        lambda c, mu, sigma: stats.norm.cdf((c - mu) / abs(sigma)), coherence, share, p0=(0.0, 8.0)
    )
    return abs(float(sigma))


def groups(runs: Mapping[str, Any]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Return the runs of each task and name without its seed."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for name, run in runs.items():
        found.setdefault((run["task"], without_seed(name)), []).append(run)
    return found


def markdown(result: Mapping[str, Any]) -> str:
    """Return the table."""
    lines = [
        f"{result['trials']:,} fresh trials, last checkpoint. ±: half an interval of 95 % over seeds. Threshold: the "
        "coherence at which the fitted probit has 84 % of one side.",
        "",
        "| task | run | seeds | parameters | steps | trials right, % | right at the last step, % | threshold, % | "
        "training, s |",
        "|---" * 9 + "|",
    ]
    for (task, name), some in groups(result["runs"]).items():
        curves = [run["psychometric"] for run in some if "psychometric" in run]
        at = f"{statistics.fmean(map(threshold, curves)):.1f}" if curves else "-"
        lines.append(
            f"| {task} | {name} | {len(some)} | {some[0]['parameters']:,} | {some[0]['steps']:,} | "
            f"{interval([run['whole'] for run in some], 100)} | "
            f"{interval([run['last'] for run in some], 100)} | {at} | "
            f"{statistics.median(run['seconds'] for run in some):.0f} |"
        )
    return "\n".join(lines) + "\n"


def draw(result: Mapping[str, Any]) -> Figure:
    """Draw the psychometric curves beside the share of trials that are right in each task."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    curves, bars = figure.subplots(1, 2)
    found = groups(result["runs"])
    for (_, name), some in found.items():
        colour = PALETTE.get(some[0]["core"], "0.4")
        for number, run in enumerate(run for run in some if "psychometric" in run):
            coherence, share = np.array(run["psychometric"]).T
            curves.plot(coherence, 100 * share, "o-", color=colour, markersize=3, linewidth=1,
                        label=name if number == 0 else None)  # fmt: skip
    curves.set_xlabel("coherence for the first side, %")
    curves.set_ylabel("decisions for the first side, %")
    curves.set_title("psychometric curve", fontsize=10)
    curves.grid(alpha=0.3)
    if curves.lines:
        curves.legend(fontsize=8)
    names = [f"{task}\n{name}" for task, name in found]
    means = [100 * statistics.fmean(run["whole"] for run in some) for some in found.values()]
    colours = [PALETTE.get(some[0]["core"], "0.4") for some in found.values()]
    bars.barh(names, means, color=colours)
    for place, some in enumerate(found.values()):
        bars.plot([100 * run["whole"] for run in some], [place] * len(some), "k.", markersize=4)
    bars.invert_yaxis()
    bars.set_xlabel("trials right at every step, %; dots: seeds")
    bars.tick_params(axis="y", labelsize=7)
    return figure


def report(settings: Settings) -> dict[str, Any]:
    """Return what all runs say."""
    check_names(settings.runs)
    return {
        "trials": settings.trials,
        "runs": {path.name: read(path, settings) for path in settings.runs},
        **origin(settings.runs),
    }


def main() -> None:
    """Run the command."""
    settings = tyro.cli(Settings, description=__doc__)
    torch.set_num_threads(settings.threads)
    publish("decisions", settings.out, lambda: report(settings), markdown, draw)


if __name__ == "__main__":
    main()

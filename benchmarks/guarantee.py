"""Report what a guarantee costs and what it holds: ``python benchmarks/guarantee.py STUDY... --out results/NAME``.

STUDY is a folder that ``tide ablate TASK --studies guarantee --seed S --spread-seeds S`` made, one for each seed. Of
every run in it: the last accuracy; the certified rate at every reading of the stability monitor; and, on real images
with the attention held, two trajectories of the trained core from different start rates, with and without the feedback
of the neuron-level models' corrections: the factors per tick by which their difference changed. Writes NAME.json,
NAME.md and NAME.png.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from matplotlib.figure import Figure
from reporting import origin, publish
from torch import Tensor

from tide.analysis.fixed_points import Meeting, meeting
from tide.analysis.states import follow, tide_cell
from tide.config import CoreConfig
from tide.data import to_float
from tide.errors import InputError
from tide.models.thinker import Thinker
from tide.runs import reopen
from tide.runs.folder import RunFacts, RunFolder, mean_and_std

PARTS = ("core_alone", "whole_loop")
LABELS = {
    ("none", "rms", True): "none",
    ("none", "rms_cap", True): "none, norm rms_cap",
    ("contraction", "rms_cap", False): "contraction",
    ("contraction", "rms_cap", True): "contraction, with feedback",
    ("lds", "rms_cap", True): "lds",
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Report the runs of the study of guarantees."""

    studies: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of the study, one for each seed."""
    out: Path
    """Path without extension."""
    data_dir: Path | None = None
    images: int = 4
    """Test images whose held core is started twice."""


def describe(run: RunFacts, settings: Settings) -> dict[str, Any]:
    """Return the numbers of one run."""
    core = run.config.core
    model, data = reopen(run.path, checkpoint="last", data_dir=settings.data_dir)
    model = model.double().eval()
    images = to_float(data.test.select(slice(settings.images)).images).double()
    met, alone = meetings(model, images), meetings(without_feedback(model), images)
    readings = RunFolder.open(run.path).metrics("monitor")
    rates = [line["certified_rate"] for line in readings if "certified_rate" in line]
    blocks = tide_cell(model).blocks()
    return {
        "label": LABELS[core.guarantee, core.norm, core.neuron_models.feedback],
        "seed": run.config.seed,
        "last_accuracy": run.last_accuracy,
        "best_accuracy": run.best_accuracy,
        "ei_ratio": run.last["ei_ratio"],
        "rejected_steps": run.rejected,
        "certified_rate_at_every_reading": rates,
        "certified_rate": met[0].certified,
        "whole_loop": _factors(met),
        "core_alone": _factors(alone),
        "frobenius_norms": {name: float(w.detach().norm()) for name, w in blocks._asdict().items()},
    }


def meetings(model: Thinker, images: Tensor) -> list[Meeting]:
    """Start the core of ``model`` twice with each image held: from the rates of the last tick, and from zero."""
    last, met = follow(model, images).states[-1], []
    for image in range(len(images)):
        state = last.rows(torch.tensor([image]))
        start = state.state.rates[0]
        met.append(meeting(model, state, start, torch.zeros_like(start)))
    return met


def without_feedback(model: Thinker) -> Thinker:
    """Return a copy that does not feed the corrections of its neuron-level models back: what a guarantee covers."""
    core = model.config.core
    assert isinstance(core, CoreConfig)
    alone = replace(model.config, core=replace(core, neuron_models=replace(core.neuron_models, feedback=False)))
    copy = Thinker(alone).double().eval()
    copy.load_state_dict(model.state_dict())
    return copy


def _factors(met: list[Meeting]) -> dict[str, Any]:
    return {
        "worst_in_its_norm": max((m.worst for m in met if m.worst is not None), default=None),
        "mean": max(m.factor for m in met),
        "distances": met[0].distances.tolist(),
    }


def summarize(runs: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the means over seeds of each variant."""
    rows: dict[str, dict[str, Any]] = {}
    base = {run["seed"]: run for run in runs if run["label"] == "none"}
    if alone := sorted({run["seed"] for run in runs} - base.keys()):
        raise InputError(f"seeds {alone} have no run without a guarantee, one for each is wanted: train it")
    for label in dict.fromkeys(LABELS.values()):
        group = [run for run in runs if run["label"] == label]
        if not group:
            continue
        differences = [run["last_accuracy"] - base[run["seed"]]["last_accuracy"] for run in group]
        kept = [
            statistics.fmean(w / base[run["seed"]]["frobenius_norms"][name] for name, w in norms.items())
            for run in group
            for norms in [run["frobenius_norms"]]
        ]
        certified = [rate for run in group for rate in run["certified_rate_at_every_reading"]]
        rows[label] = {
            "seeds": [run["seed"] for run in group],
            "last_accuracy": mean_and_std([run["last_accuracy"] for run in group]),
            "difference": mean_and_std(differences),
            "norm_kept": statistics.fmean(kept),
            "greatest_certified_rate": max(certified) if certified else None,
            "readings": len(certified),
            **{part: {key: _greatest(group, part, key) for key in ("worst_in_its_norm", "mean")} for part in PARTS},
        }
    return rows


def _greatest(group: list[dict[str, Any]], part: str, key: str) -> float | None:
    return max((run[part][key] for run in group if run[part][key] is not None), default=None)


def markdown(result: dict[str, Any]) -> str:
    """Return the table."""
    lines = [
        f"# Guarantees on {result['data']}: {result['steps']} steps of {result['batch']} images, "
        f"{result['ticks']} ticks",
        "",
        "Last accuracy over seeds; its difference to the run without a guarantee of the same seed; the mean share of "
        "the four matrices' Frobenius norms that is left; the greatest certified factor per tick over all readings of "
        "the monitor. Then, of two trajectories of the trained core from different start rates with the same held "
        "input: the greatest factor of a single tick by which their difference changed, in the norm that is certified, "
        "and the geometric mean of the factors in the Euclidean norm (1 or more: they did not meet); without the "
        "feedback of the neuron-level models' corrections, which is what a guarantee covers, and as it was trained.",
        "",
        "| guarantee | last accuracy, % | difference, points | norm kept | certified | core alone: worst tick, mean | "
        "whole loop: worst tick, mean |",
        "|---|---|---|---|---|---|---|",
    ]
    for label, row in result["rows"].items():
        accuracy, difference = row["last_accuracy"], row["difference"]
        numbers = [_factor(row["greatest_certified_rate"])]
        numbers += [f"{_factor(row[part]['worst_in_its_norm'])}, {_factor(row[part]['mean'])}" for part in PARTS]
        lines.append(
            f"| {label} | {_points(accuracy, '.2f')} | {'-' if label == 'none' else _points(difference, '+.2f')} | "
            f"{row['norm_kept']:.2f} | "
            f"{' | '.join(numbers)} |"
        )
    return "\n".join(lines) + "\n"


def _factor(value: float | None) -> str:
    return f"{value:.4f}" if value is not None else "-"


def _points(value: dict[str, float | None], form: str) -> str:
    mean, std = value["mean"], value["std"]
    assert mean is not None
    return format(100 * mean, form) + (f" ± {100 * std:.2f}" if std is not None else "")


def draw(result: dict[str, Any]) -> Figure:
    """Draw accuracies, and the distance of two trajectories over ticks, of the core alone and of the whole loop."""
    figure = Figure(figsize=(15, 4.4), layout="constrained")
    accuracy, *distances = figure.subplots(1, 3, width_ratios=(1, 1.2, 1.2))
    labels = list(result["rows"])
    for place, label in enumerate(labels):
        runs = [run for run in result["runs"] if run["label"] == label]
        accuracy.plot([100 * run["last_accuracy"] for run in runs], [place] * len(runs), "o", color=f"C{place}")
        for part, axes in zip(PARTS, distances, strict=True):
            for number, run in enumerate(runs):
                apart = run[part]["distances"]
                relative = [max(value / apart[0], 1e-16) for value in apart]
                axes.plot(relative, color=f"C{place}", linewidth=1, label=label if number == 0 else None)
    accuracy.set_yticks(range(len(labels)), labels)
    accuracy.invert_yaxis()
    accuracy.set_xlabel("last test accuracy, % (a point is a seed)")
    accuracy.grid(alpha=0.3)
    for part, axes in zip(PARTS, distances, strict=True):
        axes.set(yscale="log", xlabel="tick with the input held")
        axes.set_title(f"distance of two trajectories over that at the start: {part.replace('_', ' ')}", fontsize=10)
        axes.grid(alpha=0.3)
    distances[1].legend(fontsize=8)
    return figure


def report(settings: Settings) -> dict[str, Any]:
    """Return the numbers of all runs; raises :class:`InputError` where there are none or a baseline is missing."""
    folders = sorted(path.parent for study in settings.studies for path in study.glob("*/results.json"))
    if not folders:
        raise InputError(f"no runs in {', '.join(map(str, settings.studies))}; folders of the study are wanted")
    facts = [RunFacts.read(folder) for folder in folders]
    runs = [describe(run, settings) for run in facts]
    config = facts[0].config
    return {
        "data": config.data.title,
        "steps": config.train.steps,
        "batch": config.train.batch,
        "ticks": config.core.ticks,
        "rows": summarize(runs),
        "runs": runs,
        **origin([run.path for run in facts]),
    }


def main() -> None:
    """Run the command."""
    settings = tyro.cli(Settings, description=__doc__)
    publish("guarantee", settings.out, lambda: report(settings), markdown, draw)


if __name__ == "__main__":
    main()

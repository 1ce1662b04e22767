"""Report whether trainings drift or collapse, and how they think on: ``python benchmarks/drift.py RUN... --out NAME``.

Every RUN was trained with ``--train.probe-every``: its accuracy on the first test images over the steps tells a drift
(the last below the best) from a collapse. Then every model's last checkpoint thinks for more ticks than it was trained
for: accuracy, certainty and E-I ratio at every one of them. Writes NAME.json, NAME.md and NAME.png.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from matplotlib.figure import Figure
from reporting import check_names, origin, publish

from tide.config.io import to_dict
from tide.errors import InputError
from tide.evaluate.answers import collect_answers
from tide.runs import reopen
from tide.runs.folder import RunFacts, RunFolder


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Report drift."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders, complete, with probes."""
    out: Path
    """Path without extension."""
    data_dir: Path | None = None
    ticks: int = 200
    """Ticks of the thought at inference."""
    images: int = 2000
    """Test images that are thought about so long."""
    batch: int = 250


def describe(path: Path, settings: Settings) -> dict[str, Any]:
    """Return the numbers of one run; raises :class:`InputError` without probes or where it thought as long."""
    facts, run = RunFacts.read(path), RunFolder.open(path)
    if not facts.curve:
        raise InputError(f"{path} has no probes; train with --train.probe-every 50")
    if settings.ticks <= facts.config.core.ticks:
        raise InputError(f"ticks is {settings.ticks}, more than the {facts.config.core.ticks} of {path} are wanted")
    model, data = reopen(path, checkpoint="last", data_dir=settings.data_dir)
    asked = data.test.select(slice(settings.images))
    answers = collect_answers(model, asked, batch=settings.batch, ticks=settings.ticks)
    trained, right = facts.config.core.ticks, answers.correct
    probes, monitor = run.metrics("probe"), run.metrics("monitor")
    answered, at_last = ([line[key] for line in probes] for key in ("accuracy", "accuracy_last_tick"))
    return {
        "data": data.name,
        "settings": to_dict(facts.config),
        "images": len(asked),
        "probed": probes[0]["images"],
        "last_accuracy": facts.last_accuracy,
        "steps": [line["step"] for line in probes],
        "probes": answered,
        "drop": max(answered) - answered[-1],
        "probes_last_tick": at_last,
        "drop_last_tick": max(at_last) - at_last[-1],
        "rejected_steps": facts.rejected,
        "gradient_norms": [(line["step"], line["gradient_norm"]) for line in run.metrics("train")],
        "certified_rates": [(line["step"], line["certified_rate"]) for line in monitor if "certified_rate" in line],
        "trained_ticks": trained,
        "most_certain": {
            str(ticks): float(right.gather(1, answers.certainty[:, :ticks].argmax(1, keepdim=True)).double().mean())
            for ticks in (trained, settings.ticks)
        },
        "accuracy_at_tick": right.double().mean(0).tolist(),
        "certainty_at_tick": answers.certainty.double().mean(0).tolist(),
        "ei_ratio_at_tick": answers.ratio.double().mean(0).tolist() if answers.ratio is not None else None,
    }


def markdown(result: dict[str, Any]) -> str:
    """Return the table."""
    runs, more = result["runs"], result["ticks"]
    first = next(iter(runs.values()))
    error = 0.5 / math.sqrt(first["probed"])
    lines = [
        f"# Drift on {first['data']}, {first['trained_ticks']} ticks, and {more} at inference",
        "",
        "Probes are accuracies on the first test images during the training, best and last, at the most certain tick "
        "(where the model answers) and at the last one; a drop is the best less the last, in points. The columns from "
        f"the seventh on are the last checkpoint's, on the first {first['images']} test images. The best of several "
        f"probes is high by chance, too: one of {first['probed']} images has a standard error of {100 * error:.1f} "
        "points where half of the answers are right, less elsewhere.",
        "",
        "| run | probes, % | drop | probes at the last tick, % | drop | rejected steps | most certain tick "
        f"of {first['trained_ticks']}, of {more}, % | at tick {first['trained_ticks']}, {more}, % | E-I ratio there |",
        "|---" * 9 + "|",
    ]
    for name, run in runs.items():
        at, ratio = run["accuracy_at_tick"], run["ei_ratio_at_tick"]
        trained = run["trained_ticks"] - 1
        ratios = f"{ratio[trained]:.2f}, {ratio[-1]:.2f}" if ratio is not None else "-"
        certain = ", ".join(f"{100 * value:.2f}" for value in run["most_certain"].values())
        lines.append(
            f"| {name} | {_ends(run['probes'])} | {100 * run['drop']:.1f} | {_ends(run['probes_last_tick'])} | "
            f"{100 * run['drop_last_tick']:.1f} | {run['rejected_steps']} | {certain} | "
            f"{100 * at[trained]:.2f}, {100 * at[-1]:.2f} | {ratios} |"
        )
    return "\n".join(lines) + "\n"


def _ends(probes: list[float]) -> str:
    return f"{100 * max(probes):.1f}, {100 * probes[-1]:.1f}"


def draw(result: dict[str, Any]) -> Figure:
    """Draw probes and gradient norms over steps, accuracy and E-I ratio over ticks."""
    figure = Figure(figsize=(13, 7.5), layout="constrained")
    probes, gradients, ticks, ratios = figure.subplots(2, 2).flatten()
    for name, run in result["runs"].items():
        (line,) = probes.plot(run["steps"], [100 * value for value in run["probes"]], "o-", ms=3, label=name)
        late = [100 * value for value in run["probes_last_tick"]]
        probes.plot(run["steps"], late, "o:", ms=3, color=line.get_color())
        gradients.plot(*zip(*run["gradient_norms"], strict=True), linewidth=1, label=name)
        count = range(1, len(run["accuracy_at_tick"]) + 1)
        ticks.plot(count, [100 * value for value in run["accuracy_at_tick"]], label=name)
        if run["ei_ratio_at_tick"] is not None:
            ratios.plot(count, run["ei_ratio_at_tick"], color=line.get_color(), label=name)
    first = next(iter(result["runs"].values()))
    trained = first["trained_ticks"]
    for axes in (ticks, ratios):
        axes.axvline(trained, color="0.5", linestyle=":")
        axes.set_xlabel(f"tick (trained for {trained})")
    probes.set(xlabel="step", ylabel="accuracy on the first test images, %")
    probes.set_title("at the most certain tick; dotted: at the last", fontsize=10)
    gradients.set(xlabel="step", ylabel="gradient norm before clipping", yscale="log")
    ticks.set_ylabel(f"accuracy at each tick, {first['images']} images, %")
    ratios.set_ylabel("E-I ratio")
    for axes in (probes, gradients, ticks, ratios):
        axes.grid(alpha=0.3)
    probes.legend(fontsize=8)
    return figure


def report(settings: Settings) -> dict[str, Any]:
    """Return the numbers of all runs; raises :class:`InputError` where they do not belong together."""
    check_names(settings.runs)
    runs = {path.name: describe(path, settings) for path in settings.runs}
    kinds = {(run["data"], run["trained_ticks"]) for run in runs.values()}
    if len(kinds) > 1:
        raise InputError(f"runs are of {sorted(kinds)}, one data set and number of ticks is wanted: report them apart")
    return {
        "ticks": settings.ticks,
        "runs": runs,
        **origin(settings.runs),
    }


def main() -> None:
    """Run the command."""
    settings = tyro.cli(Settings, description=__doc__)
    publish("drift", settings.out, lambda: report(settings), markdown, draw)


if __name__ == "__main__":
    main()

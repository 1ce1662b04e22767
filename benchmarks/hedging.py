"""What ticks do for the answer: ``python benchmarks/hedging.py RUN... --out results/hedging/NAME``.

Each RUN's last checkpoint answers every image of the part that is chosen, thinking as long as it was trained and, with
``--longer``, longer. Runs whose names differ in the seed at the end (``anytime-42``, ``anytime-43``) are one row.
Writes NAME.json, NAME.md and NAME.png.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from matplotlib.figure import Figure
from reporting import check_names, groups, origin, publish

from tide.data import read_splits
from tide.errors import InputError
from tide.evaluate.answers import evaluate
from tide.models.load import load
from tide.runs.folder import RunFacts, RunFolder

EARLY = 4  # from this tick on an answer at any time is wanted


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Read what ticks do for the answer."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders, complete."""
    out: Path
    """Path without extension."""
    split: Literal["validation", "test"] = "validation"
    """Images to answer: those that the run held out, or the test split."""
    longer: tuple[int, ...] = ()
    """Ticks to think in place of those trained with, beside them."""
    data_dir: Path | None = None
    """Folder of the data sets."""
    threads: int | None = None


def read(path: Path, settings: Settings) -> dict[str, Any]:
    """Return what one run answers; raises :class:`InputError` where it held nothing out and needs to."""
    folder, facts = RunFolder.open(path), RunFacts.read(path)
    config = folder.config
    if settings.split == "validation" and not config.data.validation:
        raise InputError(f"{path} must be trained with held-out images (--data.validation); use --split test")
    held = config.data.validation if settings.split == "validation" else 0.0
    images = read_splits(replace(config, data=replace(config.data, validation=held)), settings.data_dir).test
    model = load(path, checkpoint="last")
    thoughts = {
        str(ticks or config.core.ticks): asdict(evaluate(model, images, ticks=ticks))
        for ticks in (None, *settings.longer)
    }
    return {
        "data": config.data.title,
        "steps": config.train.steps,
        "seed": config.seed,
        "ticks": config.core.ticks,
        "thoughts": thoughts,
        "probes": [
            {key: line[key] for key in ("step", "accuracy", "accuracy_last_tick", "hedging")}
            for line in folder.metrics("probe") or folder.metrics("evaluation")
        ],
        "rejected": facts.rejected,
    }


def trained(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run answers after the ticks that it was trained with."""
    thought: dict[str, Any] = run["thoughts"][str(run["ticks"])]
    return thought


COLUMNS: Sequence[tuple[str, Callable[[dict[str, Any]], float], int]] = (
    ("most certain tick, %", lambda e: 100 * e["accuracy"], 2),
    ("last tick, %", lambda e: 100 * e["accuracy_last_tick"], 2),
    ("best fixed tick, %", lambda e: 100 * max(e["accuracy_per_tick"]), 2),
    (f"worst from tick {EARLY} on, %", lambda e: 100 * min(e["accuracy_per_tick"][EARLY - 1 :], default=math.nan), 2),
    ("first tick, %", lambda e: 100 * e["accuracy_per_tick"][0], 2),
    ("oracle, %", lambda e: 100 * e["oracle_accuracy"], 2),
    ("cross-entropy, most certain", lambda e: e["loss_most_certain"], 3),
    ("cross-entropy, last", lambda e: e["loss_per_tick"][-1], 3),
    ("certainty never falls, %", lambda e: 100 * e["certainty_never_falls"], 1),
    ("answering tick", lambda e: e["answering_tick"], 1),
)


def markdown(result: dict[str, Any]) -> str:
    """Return the tables."""
    lines = [
        f"{result['images']:,} {result['split']} images; the mean over seeds, and in brackets each where there are "
        "several.",
        "",
        "| | " + " | ".join(title for title, _, _ in COLUMNS) + " |",
        "|---" * (1 + len(COLUMNS)) + "|",
    ]
    for name, runs in groups(result["runs"]).items():
        cells = [_cell([value(trained(run)) for run in runs], digits) for _, value, digits in COLUMNS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    if result["longer"]:
        thought = [str(ticks) for ticks in result["longer"]]
        lines += [
            "",
            "Thinking longer than trained, most certain tick / last tick, %:",
            "",
            "| | as trained | " + " | ".join(f"{ticks} ticks" for ticks in thought) + " |",
            "|---" * (2 + len(thought)) + "|",
        ]
        for name, runs in groups(result["runs"]).items():
            cells = []
            for ticks in (str(runs[0]["ticks"]), *thought):
                some = [run["thoughts"][ticks] for run in runs]
                pair = [statistics.fmean(100 * e[key] for e in some) for key in ("accuracy", "accuracy_last_tick")]
                cells.append(f"{pair[0]:.2f} / {pair[1]:.2f}")
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(values: Sequence[float], digits: int) -> str:
    mean = f"{statistics.fmean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ({', '.join(f'{value:.{digits}f}' for value in values)})"


def draw(result: dict[str, Any]) -> Figure:
    """Draw accuracy and cross-entropy over ticks, where the answers lie, and the gap over the training."""
    figure = Figure(figsize=(12, 7.5), layout="constrained")
    first = next(iter(result["runs"].values()))
    figure.suptitle(f"{first['data']}, {first['steps']:,} steps; {result['images']:,} {result['split']} images")
    (accuracy, loss), (answers, gap) = figure.subplots(2, 2)
    for number, (name, runs) in enumerate(groups(result["runs"]).items()):
        for first, run in enumerate(runs):
            seen, label, style = trained(run), name if first == 0 else None, {"color": f"C{number}", "linewidth": 1.4}
            ticks = range(1, len(seen["accuracy_per_tick"]) + 1)
            accuracy.plot(ticks, [100 * a for a in seen["accuracy_per_tick"]], label=label, **style)
            accuracy.plot([ticks[-1] + 1], [100 * seen["accuracy"]], "o", color=f"C{number}", markersize=4)
            loss.plot(ticks, seen["loss_per_tick"], label=label, **style)
            answers.plot(ticks, [100 * share for share in seen["answering_ticks"]], label=label, **style)
            lost = [100 * (p["accuracy"] - p["accuracy_last_tick"]) for p in run["probes"]]
            gap.plot([p["step"] for p in run["probes"]], lost, label=label, **style)
    worst = min(100 * trained(run)["accuracy"] for run in result["runs"].values())
    accuracy.set(xlabel="tick", ylabel="accuracy, %", ylim=(max(0, worst - 25), None))
    accuracy.set_title("accuracy at every tick; dots: at the most certain tick", fontsize=10)
    loss.set(xlabel="tick", ylabel="cross-entropy, nats", ylim=(0, None))
    loss.set_title("cross-entropy at every tick", fontsize=10)
    answers.set(xlabel="tick", ylabel="images, %", ylim=(0, None))
    answers.set_title("where the most certain ticks lie", fontsize=10)
    gap.set(xlabel="step of training", ylabel="points")
    gap.set_title("accuracy at the most certain tick less that at the last", fontsize=10)
    gap.axhline(0, color="0.7", linewidth=1)
    for axes in (accuracy, loss, answers, gap):
        axes.grid(alpha=0.3)
    accuracy.legend(fontsize=8)
    return figure


def report(settings: Settings) -> dict[str, Any]:
    """Return what all runs answer; raises :class:`InputError` for two of one name."""
    check_names(settings.runs)
    runs = {path.name: read(path, settings) for path in settings.runs}
    kinds = {(run["data"], run["steps"]) for run in runs.values()}
    if len(kinds) > 1:
        raise InputError(f"all runs must have the same data and number of steps, got {sorted(kinds)}; report each")
    return {
        "split": settings.split,
        "images": trained(next(iter(runs.values())))["images"],
        "longer": settings.longer,
        "runs": runs,
        **origin(settings.runs),
    }


def main() -> None:
    """Run the command."""
    settings = tyro.cli(Settings, description=__doc__)
    if settings.threads is not None:
        from tide.device import set_threads

        set_threads(settings.threads)
    publish("hedging", settings.out, lambda: report(settings), markdown, draw)


if __name__ == "__main__":
    main()

"""What eyes that adapt are worth under corruption: ``python benchmarks/eyes.py RUN... --out results/eyes/NAME``.

Each RUN, trained with held-out images (``--data.validation``), answers these, clean and under the 15 corruptions of
ImageNet-C at severities 1, 3 and 5: the test split is not looked at. Runs whose names differ in the seed at the end
(``image-42``, ``image-43``) are one row. What a RUN has answered is kept in its folder and not asked again. Writes
NAME.json, NAME.md and NAME.png.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from matplotlib.figure import Figure
from reporting import check_names, groups, interval, origin, publish

from tide.backbones.layers import statistics_of_batches
from tide.corruptions import CORRUPTIONS, corrupt
from tide.data import ImageSet, read_splits
from tide.errors import InputError
from tide.evaluate.answers import evaluate
from tide.files import write_json
from tide.models.load import load
from tide.runs.folder import RunFolder

SEVERITIES = (1, 3, 5)
CONTROL = "batch statistics"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Read what runs answer under corruption."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders, complete, of one data set."""
    out: Path
    """Path without extension."""
    clean: int = 2_000
    """Held-out images that are asked as they are."""
    corrupted: int = 300
    """Of these, so many under each corruption and severity."""
    control: bool = False
    """Ask again with the statistics of each batch in place of those of training, which the shift took."""
    data_dir: Path | None = None
    """Folder of the data sets."""
    threads: int | None = None


def read(path: Path, settings: Settings) -> dict[str, Any]:
    """Return the accuracies of one run; raises :class:`InputError` where it held no images out."""
    folder = RunFolder.open(path)
    config, kept = folder.config, path / f"eyes-{settings.clean}-{settings.corrupted}.json"
    if not config.data.validation:
        raise InputError(f"{path} must be trained with held-out images (--data.validation)")
    found: dict[str, Any] = json.loads(kept.read_text()) if kept.is_file() else {}
    wanted = {"clean", *CORRUPTIONS} | ({CONTROL} if settings.control else set())
    if not wanted <= found.keys():
        images, model = read_splits(config, settings.data_dir).test, load(path, checkpoint="last")
        assert isinstance(images, ImageSet)
        some = images.part(torch.arange(settings.clean))
        found["clean"] = evaluate(model, some).accuracy
        few = images.part(torch.arange(settings.corrupted))
        control = {}
        for name in CORRUPTIONS:
            seen = [
                ImageSet(corrupt(few.images, name, severity, seed=0), few.labels, few.classes)
                for severity in SEVERITIES
            ]
            found[name] = statistics.fmean(evaluate(model, one).accuracy for one in seen)
            if settings.control:
                with statistics_of_batches(model):
                    control[name] = statistics.fmean(evaluate(model, one).accuracy for one in seen)
        if settings.control:
            found[CONTROL] = control
        write_json(kept, found)
    return {"data": config.data.title, "steps": config.train.steps, "seed": config.seed, "accuracy": found}


def mean_of_corruptions(accuracy: Mapping[str, float]) -> float:
    """Return the mean over the 15 corruptions."""
    return statistics.fmean(accuracy[name] for name in CORRUPTIONS)


def markdown(result: dict[str, Any]) -> str:
    """Return the table."""
    shown = ("gaussian_noise", "snow", "frost", "fog", "brightness", "contrast")
    first = next(iter(result["runs"].values()))
    accuracies = {name: run["accuracy"] for name, run in result["runs"].items()}
    lines = [
        f"{first['data']}, {first['steps']:,} steps; {result['clean']:,} clean and {result['corrupted']} corrupted "
        f"held-out training images, severities {', '.join(map(str, SEVERITIES))}. ±: half an interval of 95 % over "
        "seeds.",
        "",
        "| | seeds | clean | mean of 15 | " + " | ".join(name.replace("_", " ") for name in shown) + " |",
        "|---" * (4 + len(shown)) + "|",
    ]
    for name, runs in groups(accuracies).items():
        cells = [[run["clean"] for run in runs], [mean_of_corruptions(run) for run in runs]]
        cells += [[run[corruption] for run in runs] for corruption in shown]
        lines.append(f"| {name} | {len(runs)} | " + " | ".join(interval(values, 100) for values in cells) + " |")
    return "\n".join(lines) + "\n"


def draw(result: dict[str, Any]) -> Figure:
    """Draw the accuracy under every corruption, a row of dots for each kind of eyes."""
    figure = Figure(figsize=(8.5, 6.5), layout="constrained")
    axes = figure.subplots()
    accuracies = {name: run["accuracy"] for name, run in result["runs"].items()}
    for number, (name, runs) in enumerate(groups(accuracies).items()):
        values = [100 * statistics.fmean(run[corruption] for run in runs) for corruption in CORRUPTIONS]
        axes.plot(values, range(len(CORRUPTIONS)), "o", color=f"C{number}", label=name, alpha=0.8)
        if all(CONTROL in run for run in runs):
            values = [100 * statistics.fmean(run[CONTROL][corruption] for run in runs) for corruption in CORRUPTIONS]
            axes.plot(values, range(len(CORRUPTIONS)), "|", color=f"C{number}", label=f"{name}, {CONTROL}")
        clean = 100 * statistics.fmean(run["clean"] for run in runs)
        axes.axvline(clean, color=f"C{number}", linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(CORRUPTIONS)), [name.replace("_", " ") for name in CORRUPTIONS])
    axes.invert_yaxis()
    axes.set_xlabel("accuracy on held-out images, % (dotted: clean)")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", fontsize=8, ncols=3)
    return figure


def report(settings: Settings) -> dict[str, Any]:
    """Return what all runs answer; raises :class:`InputError` for two of one name or of several data sets."""
    check_names(settings.runs)
    runs = {path.name: read(path, settings) for path in settings.runs}
    kinds = {(run["data"], run["steps"]) for run in runs.values()}
    if len(kinds) > 1:
        raise InputError(f"all runs must have the same data and number of steps, got {sorted(kinds)}; report each")
    return {"clean": settings.clean, "corrupted": settings.corrupted, "runs": runs, **origin(settings.runs)}


def main(settings: Settings) -> None:
    """Ask, write and print."""
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    publish("eyes.py", settings.out, lambda: report(settings), markdown, draw)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))

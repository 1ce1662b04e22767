"""Put a trained run among the weights that come with the library, in half precision, with its card.

``python benchmarks/ship.py runs/mnist mnist "What it is not good for."`` The accuracy on the card is measured here,
with the rounded weights of the last checkpoint, on the run's held-out training images; a run that held out none, as
those of ``benchmarks/paper_table.py``, is measured on the test split, which chose nothing. Of a task that a program
draws it is measured on samples of their own. A run that was made without git is told its ``--commit``, one that a study
made the study's ``--command``.
"""

from __future__ import annotations

import argparse
import re
import shutil
from dataclasses import replace
from pathlib import Path

from tide.config import Config, DrawnConfig
from tide.data import LabelledSet
from tide.data.load import read_splits
from tide.evaluate.answers import evaluate
from tide.models.load import load as load_model
from tide.models.saved import CARD, Card, digest, halved, rounded, write_model
from tide.runs.folder import RunFolder

SHELF = Path(__file__).parents[1] / "tide" / "pretrained"
MOST = 3_000_000  # bytes of weights
DRAWN = 5_000  # samples of a task that are drawn to measure on


def ship(
    path: Path,
    name: str,
    limits: str,
    shelf: Path = SHELF,
    data_dir: Path | None = None,
    commit: str | None = None,
    command: str | None = None,
) -> Card:
    """Write weights, settings and card of the last checkpoint into ``shelf/name``; return the card."""
    run, model = RunFolder.open(path), rounded(load_model(path, checkpoint="last"))
    held, measured_on = held_out(run.config, data_dir)
    measured = evaluate(model, held)
    commit = run.environment["commit"] or commit
    if commit is None:
        raise SystemExit(f"{path} must say its commit; give it with --commit")
    card = Card(
        data=run.config.data.title,
        command=command or re.sub(r" --(out|threads|data-dir) \S+", "", run.environment["command"]),
        commit=commit,
        accuracy=measured.accuracy,
        whole_accuracy=measured.whole_accuracy,
        images=measured.images,
        measured_on=measured_on,
        limits=limits,
        digest=digest(model.state_dict()),
    )
    folder = shelf / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_model(folder, run.config.model, halved(model.state_dict()))
    card.write(folder / CARD)
    size = (folder / "model.safetensors").stat().st_size
    if size > MOST:
        raise SystemExit(f"the weights must take at most {MOST:,} bytes, got {size:,}")
    return card


def held_out(config: Config, data_dir: Path | None = None) -> tuple[LabelledSet, str]:
    """Return what a run did not learn from, held-out training images before the test split, and what it is in words."""
    if isinstance(config.data, DrawnConfig):
        apart = replace(config, data=replace(config.data, validation=DRAWN))
        return read_splits(apart, data_dir).test, "samples drawn apart from those of training and of the test set"
    test = read_splits(config, data_dir).test  # held-out images, where there are some, are in the place of the test's
    if not config.data.validation:
        return test, "test split; it chose nothing, the weights are those of the last step"
    return test, "training images held out of training (data.validation); the test split was not used"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("limits")
    parser.add_argument("--commit")
    parser.add_argument("--command")
    given = parser.parse_args()
    print(ship(given.run, given.name, given.limits, commit=given.commit, command=given.command))

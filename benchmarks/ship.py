"""Put a trained run among the weights that come with the library, in half precision, with its card.

``python benchmarks/ship.py runs/mnist mnist "What it is not good for."`` The accuracy on the card is measured here,
with the rounded weights, on the run's held-out training images: the test split chooses nothing.
"""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path

from tide.data.load import read_splits
from tide.evaluate.accuracy import evaluate
from tide.models.card import CARD, Card, digest
from tide.models.files import write_model
from tide.models.half import halved, rounded
from tide.models.load import load as load_model
from tide.runs.folder import RunFolder

SHELF = Path(__file__).parents[1] / "tide" / "pretrained"
MOST = 3_000_000  # bytes of weights


def ship(path: Path, name: str, limits: str, shelf: Path = SHELF, data_dir: Path | None = None) -> Card:
    """Write weights, settings and card of the last checkpoint into ``shelf/name``; return the card."""
    run, model = RunFolder.open(path), rounded(load_model(path, checkpoint="last"))
    config = run.config
    if not config.data.validation:
        raise SystemExit(f"data.validation of {path} is 0, held-out images are wanted: train with --data.validation")
    measured = evaluate(model, read_splits(config, data_dir).test)  # the held-out images are in the place of the test's
    card = Card(
        data=config.data.title,
        command=re.sub(r" --(out|threads|data-dir) \S+", "", run.environment["command"]),
        commit=str(run.environment["commit"]),
        accuracy=measured.accuracy,
        images=measured.images,
        measured_on="training images held out of training (data.validation); the test split was not used",
        limits=limits,
        digest=digest(model.state_dict()),
    )
    folder = shelf / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_model(folder, config.model, halved(model.state_dict()))
    card.write(folder / CARD)
    size = (folder / "model.safetensors").stat().st_size
    if size > MOST:
        raise SystemExit(f"the weights take {size:,} bytes, at most {MOST:,} are wanted")
    return card


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("limits")
    given = parser.parse_args()
    print(ship(given.run, given.name, given.limits))

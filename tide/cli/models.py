"""Models and data for the commands that look at trained runs."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from tide.data import Splits, decode, load, to_float
from tide.errors import InputError
from tide.models.load import load as load_model
from tide.models.thinker import Thinker
from tide.train.run import RunFolder


def load_with_data(
    path: Path, checkpoint: str, data: str | None = None, directory: Path | None = None
) -> tuple[Thinker, Splits]:
    """Return a trained model and a data set, by default the one it was trained on.

    Raises :class:`InputError` when the data's channels or classes are not the model's.
    """
    model = load_model(path, checkpoint=checkpoint)
    if (path / "config.yaml").is_file():
        run = RunFolder.open(path)
        stored = run.environment.get("data_dir")
        data = data or run.config.data.name
        directory = directory or (Path(stored) if stored else None)
    if data is None:
        raise InputError(f"{path} does not say which data it was trained on; name it with --data")
    wanted = model.config.input
    splits = load(data, directory, size=wanted.size, channels=wanted.channels)
    found = (splits.test.images.shape[1], len(splits.test.classes))
    if found != (wanted.channels, wanted.classes):
        raise InputError(
            f"{splits.name} has {found[0]} channels and {found[1]} classes, the model in {path} wants "
            f"{wanted.channels} and {wanted.classes}; use data of its kind"
        )
    return model, splits


def read_photo(model: Thinker, path: Path) -> Tensor:
    """Read a photo of any size and mode as the model takes it, (1, channels, size, size) float in [0, 1]."""
    wanted = model.config.input
    if not path.is_file():
        raise InputError(f"image {path} does not exist; give the path of a PNG or JPEG file")
    return to_float(decode(path, wanted.size, wanted.channels))[None]

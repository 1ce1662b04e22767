"""Models and data for the commands that look at trained runs."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from tide.data import LabelledImages, decode, load, load_test_photos, open_photos, to_float
from tide.errors import InputError
from tide.models.load import load as load_model
from tide.models.thinker import Thinker
from tide.train.run import RunFolder


class TestData(NamedTuple):
    """A test split and what it is called."""

    name: str
    test: LabelledImages


def load_with_data(
    path: Path, checkpoint: str, data: str | None = None, directory: Path | None = None
) -> tuple[Thinker, TestData]:
    """Return a trained model and the test part of a data set, by default of the one it was trained on.

    A folder of photos without a training part is read in one of the published layouts of test sets
    (:func:`tide.data.load_test_photos`), for the classes of the model. Raises :class:`InputError` when the data's
    channels or classes are not the model's.
    """
    model, streamed = load_model(path, checkpoint=checkpoint), False
    if (path / "config.yaml").is_file():
        run = RunFolder.open(path)
        stored = run.environment.get("data_dir")
        streamed = data is None and run.config.data.photos == "streamed"
        data = data or run.config.data.name
        directory = directory or (Path(stored) if stored else None)
    if data is None:
        raise InputError(f"{path} does not say which data it was trained on; name it with --data")
    wanted = model.config.input
    folder = Path(data.removeprefix("folder:")).expanduser()
    if data.startswith("folder:") and not (folder / "train").is_dir():
        labels = wanted.labels or tuple(str(number) for number in range(wanted.classes))
        return model, TestData(data, load_test_photos(folder, labels, wanted.size, wanted.channels))
    shape = {"size": wanted.size, "channels": wanted.channels}
    splits = open_photos(data, **shape) if streamed or data.startswith("hub:") else load(data, directory, **shape)
    found = (splits.test.shape[0], len(splits.test.classes))
    if found != (wanted.channels, wanted.classes):
        raise InputError(
            f"{splits.name} has {found[0]} channels and {found[1]} classes, the model in {path} wants "
            f"{wanted.channels} and {wanted.classes}; use data of its kind"
        )
    return model, TestData(splits.name, splits.test)


def read_photo(model: Thinker, path: Path) -> Tensor:
    """Read a photo of any size and mode as the model takes it, (1, channels, size, size) float in [0, 1]."""
    wanted = model.config.input
    if not path.is_file():
        raise InputError(f"image {path} does not exist; give the path of a PNG or JPEG file")
    return to_float(decode(path, wanted.size, wanted.channels))[None]

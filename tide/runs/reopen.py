"""A trained model together with the images it is tested on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from tide.config import DataConfig, DrawnConfig, FolderConfig, ModelConfig, data_config
from tide.data import LabelledSet, decode, load_test_photos, read_test, to_float
from tide.errors import InputError, check_path
from tide.models.load import load as load_model
from tide.models.thinker import Thinker
from tide.runs.folder import RunFolder


class TestData(NamedTuple):
    """A test split and what it is called."""

    name: str
    test: LabelledSet


class SplitSource(NamedTuple):
    """Where a test split comes from, and the model that is tested on it; equal ones give equal splits.

    ``data`` is None where neither the model nor the user says.
    """

    data: DataConfig | None
    directory: Path | None
    model: ModelConfig

    def read(self, run: Path) -> TestData:
        """Read the split for the model in ``run``.

        A folder of photos without a training part is read in one of the published layouts of test sets
        (:func:`tide.data.load_test_photos`), for the classes of the model. Raises :class:`InputError` when the data's
        channels or classes are not the model's, or nobody says what data.
        """
        data = self.data
        if data is None:
            raise InputError(f"{run} does not say which data it was trained on; name it with --data")
        if isinstance(data, DrawnConfig):
            return TestData(data.title, read_test(data, self.model, self.directory))
        wanted, output = self.model.images, self.model.output
        if isinstance(data, FolderConfig) and not ((folder := Path(data.name).expanduser()) / "train").is_dir():
            labels = tuple(output.label(number) for number in range(output.classes))
            return TestData(
                data.title, load_test_photos(folder, labels, wanted.size, wanted.channels, crop=wanted.crop)
            )
        test = read_test(data, self.model, self.directory)
        found = (test.shape[0], len(test.classes))
        if found != (wanted.channels, output.classes):
            raise InputError(
                f"{data.title} has {found[0]} channels and {found[1]} classes, the model in {run} wants "
                f"{wanted.channels} and {output.classes}; use data of its kind"
            )
        return TestData(data.title, test)


def open_with_source(
    path: Path, checkpoint: str, data: str | None = None, directory: Path | None = None
) -> tuple[Thinker, SplitSource]:
    """Return a trained model and where the test part of a data set is, by default of the one it was trained on."""
    if data == "":
        raise InputError("--data is empty, the name of a data set, folder:DIR or hub:DIR is wanted: or leave it out")
    for name, value in (("path", path), ("directory", directory)):
        if value is not None:
            check_path(name, value)
    model = load_model(path, checkpoint=checkpoint)
    chosen = data_config(data) if data is not None else None
    path = Path(path).expanduser()
    if (path / "config.yaml").is_file():
        run = RunFolder.open(path)
        stored = run.environment.get("data_dir")
        chosen = chosen or run.config.data
        directory = directory or (Path(stored) if stored else None)
    elif model.card is not None:
        chosen = chosen or data_config(model.card.data)
    return model, SplitSource(chosen, directory, model.config)


class Reopened(NamedTuple):
    """A trained model in eval mode, and the test images of its run."""

    model: Thinker
    data: TestData


def reopen(path: Path, *, checkpoint: str = "best", data: str | None = None, data_dir: Path | None = None) -> Reopened:
    """Return a trained model together with the test part of a data set.

    ``path`` is a run folder or a folder that ``save_pretrained`` wrote; ``checkpoint`` is ``"best"`` or ``"last"``;
    ``data`` is a data set as ``tide train --data`` takes it, by default the one that the run was trained on;
    ``data_dir`` is where named sets lie, by default where they lay for the run. Raises
    :class:`~tide.errors.CheckpointError` as :func:`tide.load` does, and :class:`InputError` where the data are not of
    the model's kind or nobody says what they are.
    """
    model, source = open_with_source(path, checkpoint, data, data_dir)
    return Reopened(model, source.read(path))


def read_photo(model: Thinker, path: Path) -> Tensor:
    """Read a photo of any size and mode as the model takes it, (1, channels, size, size) float in [0, 1]."""
    wanted = model.config.images
    if not path.is_file():
        raise InputError(f"image {path} does not exist; give the path of a PNG or JPEG file")
    photo: Tensor = to_float(decode(path, wanted.size, wanted.channels, crop=wanted.crop))
    return photo[None]

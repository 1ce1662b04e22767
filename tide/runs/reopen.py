"""A trained model opened again with its data; inputs as text, and answers in words."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

import torch
from torch import Tensor

from tide.config import (
    DataSettings,
    DrawnConfig,
    FolderConfig,
    ImageConfig,
    ModelConfig,
    data_config,
)
from tide.data import LabelledSet, decode, load_test_photos, read_test
from tide.data.decode import traits
from tide.data.drawn.mazes import shortest_route
from tide.data.folders import folders_in, photos_in
from tide.errors import InputError, check_path
from tide.models.inputs import Inputs, to_float
from tide.models.load import load as load_model
from tide.models.thinker import Thinker
from tide.runs.folder import RunFolder
from tide.types import Prediction

# A trained model together with the images it is tested on.


class NamedSplit(NamedTuple):
    """A test split and what it is called."""

    name: str
    test: LabelledSet


class SplitSource(NamedTuple):
    """Where a test split comes from, and the model that is tested on it; equal ones give equal splits.

    ``data`` is None where neither the model nor the user says.
    """

    data: DataSettings | None
    directory: Path | None
    model: ModelConfig

    def read(self, run: Path) -> NamedSplit:
        """Read the split for the model in ``run``.

        A folder of photos without a training part is read in one of the published layouts of test sets
        (:func:`tide.data.load_test_photos`), for the classes of the model. Raises :class:`InputError` when the data's
        channels or classes are not the model's, or nobody says what data.
        """
        data = self.data
        if data is None:
            raise InputError(f"{run} does not say which data it was trained on; name it with --data")
        if isinstance(data, DrawnConfig):
            return NamedSplit(data.title, read_test(data, self.model, self.directory))
        images, output = self.model.images, self.model.output
        if isinstance(data, FolderConfig) and not ((folder := Path(data.name).expanduser()) / "train").is_dir():
            labels = tuple(output.label(number) for number in range(output.classes))
            photos = load_test_photos(folder, labels, images.size, images.channels, crop=images.crop)
            return NamedSplit(data.title, photos)
        test = read_test(data, self.model, self.directory)
        shape = (test.shape[0], len(test.classes))
        if shape != (images.channels, output.classes):
            raise InputError(
                f"the model in {run} takes {images.channels} channels and {output.classes} classes, got {shape[0]} and "
                f"{shape[1]} in {data.title}; use data of its kind"
            )
        return NamedSplit(data.title, test)


def open_with_source(
    path: Path, checkpoint: str, data: str | None = None, directory: Path | None = None
) -> tuple[Thinker, SplitSource]:
    """Return a trained model and where the test part of a data set is, by default of the one it was trained on."""
    if data == "":
        raise InputError("--data must be the name of a data set, folder:DIR or hub:DIR, got ''; or leave it out")
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
    data: NamedSplit


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
    images = model.config.images
    photo = _photo(path, images.size, images.channels, images.crop)[None]
    warn_of_foreign(model, [(str(path), photo)])
    return photo


def _photo(path: Path, size: int, channels: int, crop: float) -> Tensor:
    """Read a photo, (channels, size, size) float in [0, 1]; ``crop`` is the share of its square that is kept."""
    if not path.is_file():
        raise InputError(f"image {path} does not exist; give the path of a PNG or JPEG file")
    photo: Tensor = to_float(decode(path, size, channels, crop=crop))
    return photo


# What a user asks a model on the command line, as its input; and its answer in words.


def parse_inputs(model: Thinker, texts: Sequence[str], question: str | None) -> list[tuple[str, Inputs]]:
    """Return each input with its name: photos by path, sequences as they are written, digits and their question.

    Symbols are written without space (``0110``, the first symbol of the alphabet as 1, the second as 0: of bits written
    as -1 and 1, the -1 counts), numbers with commas. A model of questions takes all photos as its digits, in order.
    Raises :class:`InputError`, and :class:`~tide.errors.DataError` for a file that is no photo.
    """
    if isinstance(model.config.input, ImageConfig):
        texts = [photo for text in texts for photo in _photos(text)]
    inputs = model.kind.read(texts, question, _photo)
    if isinstance(model.config.input, ImageConfig):
        photos = cast("list[tuple[str, Tensor]]", inputs)
        for _, images in photos:
            walkable(model, images)
        warn_of_foreign(model, photos)
    return inputs


def _photos(text: str) -> list[str]:
    """Return the photos in a folder, sorted by name; any other path as it is."""
    folder = Path(text).expanduser()
    if not folder.is_dir():
        return [text]
    photos = photos_in(folder)
    if not photos:
        inner = folders_in(folder)
        remedy = f"name a folder in it: {folder / inner[0]}" if inner else "give the path of a PNG or JPEG file"
        raise InputError(f"folder {folder} must hold photos itself, got none; {remedy}")
    return photos


FAR = 2.0  # times larger or smaller than training's images
BRIGHT = 1.5  # standard deviations of the training images, of what lies along the edges


def warn_of_foreign(model: Thinker, photos: Sequence[tuple[str, Tensor]]) -> None:
    """Say in one line what weights with a card are not good for, where a photo is far from what they were trained on.

    That is by its size, its colours or its background; ``photos`` are paths, and what the model is shown of them.
    Without a card nobody knows what the weights have seen.
    """
    if model.card is None:
        return
    foreign = [(path, why) for path, shown in photos if (why := _foreign(model.config.images, Path(path), shown))]
    if foreign:
        path, why = foreign[0]
        others = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        warnings.warn(f"{path}{others}: {why}, unlike what the model was trained on. {model.card.limits}", stacklevel=2)


def _foreign(images: ImageConfig, path: Path, shown: Tensor) -> str | None:
    photo, (mean, std) = traits(path), images.statistics
    times = min(photo.width, photo.height) / images.size
    if not 1 / FAR <= times <= FAR:
        return f"{photo.width} x {photo.height} pixels"
    if images.channels == 1 and photo.coloured:
        return "colours"
    edges = torch.cat([shown[..., 0, :], shown[..., -1, :], shown[..., 0], shown[..., -1]], -1).median()
    if images.channels == 1 and abs(float(edges) - mean[0]) > BRIGHT * std[0]:
        return f"a background of brightness {float(edges):.1f}"
    return None


def walkable(model: Thinker, images: torch.Tensor) -> torch.Tensor:
    """Return images (B, 3, H, W) as they are; of a model of mazes, raise DataError where one has no way through."""
    for image in images if "end" in model.config.output.labels else ():
        shortest_route((255 * image).round().byte())
    return images


def answer_text(model: Thinker, answer: Prediction) -> str:
    """Return the answer to one input in words."""
    output, label = model.config.output, answer.label[0]
    if output.emitted:
        return " ".join(str(int(place)) for place in label if place >= 0)
    if not output.positions:
        return output.label(int(label))
    names = [output.label(int(number)) for number in label.flatten()]
    if "end" in names:  # a route
        names = names[: names.index("end")]
    return " ".join(names)

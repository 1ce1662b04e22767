"""What ``tide robustness`` looks at: the models, which of them are seeds of one, and the suite for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from tide.config import ModelConfig
from tide.data import LabelledSet, default_directory
from tide.data.shifted import SHIFTED, locate_shifted
from tide.errors import InputError, did_you_mean
from tide.models.saved import local, run_checkpoint
from tide.runs.folder import RunFolder
from tide.runs.reopen import SplitSource, open_with_source
from tide.studies.comparison import Seeds, seeds_of
from tide.studies.robustness import GENERATED, Asked, Suite, from_folder, generated


class Kind(NamedTuple):
    """What models must share to be compared: the data (None where a model does not say) and the images they take."""

    data: str | None
    channels: int
    size: int
    crop: float
    classes: tuple[str, ...]

    def fits(self, other: Kind) -> bool:
        """Return whether models of both kinds can be asked about the same images."""
        return self[1:] == other[1:] and (None in (self.data, other.data) or self.data == other.data)

    def __str__(self) -> str:
        """Say it in words."""
        return (
            f"{self.data or 'unnamed data'}, {self.channels} x {self.size} x {self.size}, classes {_some(self.classes)}"
        )


class Inputs(NamedTuple):
    """The models under names of their own, which of them are seeds of one model, and their kind and test images."""

    models: list[Asked]
    seeds: Seeds
    kind: Kind
    source: SplitSource
    path: Path

    def test_images(self) -> LabelledSet:
        """Read the test images that belong to the models."""
        return self.source.read(self.path).test


def open_models(
    paths: Sequence[Path], checkpoint: str, data: str | None, directory: Path | None, device: torch.device
) -> Inputs:
    """Load the models in runs and in folders that ``save_pretrained`` wrote; ``data`` overrides what runs say.

    No images are read, unless a model does not know the names of its classes. Raises :class:`InputError` where models
    are not of one kind or one is given twice.
    """
    models: list[Asked] = []
    configs: dict[str, ModelConfig] = {}
    first: tuple[Path, Kind, SplitSource] | None = None
    paths = [local(path) for path in paths]
    for path in paths:
        model, source = open_with_source(path, checkpoint, data, directory)
        is_run = (path / "config.yaml").is_file()
        if not path.is_dir():
            raise InputError(f"{path} is a model of the hub, a folder is wanted: save it with save_pretrained")
        kind = _kind(source, path)
        first = first or (path, kind, source)
        if not kind.fits(first[1]):
            raise InputError(f"{path} was trained on {kind}, {first[0]} on {first[1]}: compare runs of one kind")
        if first[2].data is None:
            first = (path, kind, source)  # the first that says what it was trained on
        twice = [other.name for other in paths].count(path.name) > 1
        name = f"{path.resolve().parent.name}-{path.name}" if twice else path.resolve().name
        if name in configs:
            raise InputError(f"run {path} is given twice, once is wanted")
        models.append(Asked(name, model.to(device), run_checkpoint(path, checkpoint) if is_run else path))
        configs[name] = RunFolder(path).config if is_run else model.config
    assert first is not None
    path, kind, source = first
    return Inputs(models, seeds_of(configs), kind, source, path)


def _kind(source: SplitSource, path: Path) -> Kind:
    wanted = source.model.images
    classes = source.model.output.labels or source.read(path).test.classes
    return Kind(source.data.title if source.data else None, wanted.channels, wanted.size, wanted.crop, classes)


def open_suite(inputs: Inputs, suite: str, images: int, seed: int) -> Suite:
    """Return the suite called ``suite``: that made from the test images, or a published set by its folder or name.

    Args:
        inputs: the models.
        suite: ``corruptions``, a folder, or a name of a published set whose folder lies where the data sets do.
        images: how many of the test images corruptions are made from, the first.
        seed: of what is drawn.

    Raises:
        InputError: there is no such suite, or its clean images are of other classes than the models'.
    """
    kind = inputs.kind
    if suite == GENERATED:
        return generated(inputs.test_images().select(slice(images)), seed)

    def clean() -> LabelledSet:
        found = inputs.test_images()
        if found.classes != kind.classes:
            raise InputError(
                f"{kind.data} has classes {_some(found.classes)}, {_some(kind.classes)} as of {inputs.path} "
                "are wanted: name the data it was trained on with --data"
            )
        return found

    return from_folder(
        _folder(suite, inputs.source.directory), kind.classes, kind.size, kind.channels, clean, seed, kind.crop
    )


def _folder(suite: str, directory: Path | None) -> Path:
    """Return the folder of a published set; a path goes before a name."""
    folder = Path(suite).expanduser()
    if folder.is_dir():
        return folder
    if suite not in SHIFTED:
        raise InputError(
            f"suite {suite!r} is no folder and no known name{did_you_mean(suite, (GENERATED, *SHIFTED))}; or give the "
            "folder of a published set"
        )
    place = directory or default_directory()
    found = locate_shifted(suite, place)
    if found is None:
        raise InputError(
            f"suite {suite}: no folder {' or '.join(SHIFTED[suite])} in {place}, one is wanted: put it there, or give "
            "its own path or another --data-dir"
        )
    return found


def _some(classes: Sequence[str]) -> str:
    return f"{', '.join(classes[:3])}{', ...' if len(classes) > 3 else ''}"

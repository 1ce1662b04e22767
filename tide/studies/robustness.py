"""Ask trained models about suites of shifted test images: each answer is kept, and never asked for again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from tide.backbones.layers import statistics_of_batches
from tide.corruptions import CORRUPTIONS, EXTRA, MNIST_C, SEVERITIES, corrupt, smallest
from tide.corruptions.augmentations import AUGMENTATIONS, perturb
from tide.data import Decoding, ImageSet, LabelledSet, load_test_photos
from tide.data.folders import ANNOTATIONS, folders_in, part_folder
from tide.data.photos import whole_square
from tide.data.shifted import CLEAN as MNIST_C_CLEAN
from tide.data.shifted import (
    check_same_photos,
    checksum_of_files,
    checksum_of_photos,
    cifar_c_names,
    corruptions_in,
    mnist_c_names,
    read_cifar_c,
    read_mnist_c,
    severities_in,
)
from tide.errors import CheckpointError, DataError
from tide.evaluate.answers import Answers, collect_answers
from tide.files import read_mapping, writing
from tide.models.thinker import Thinker

# Suites of shifted test images: each names its shifts and gives the images of one.


COLOURED = "saturate"  # acts on colours alone
GENERATED = "corruptions"  # the suite made from the test images


class Shift(NamedTuple):
    """What was done to the images, and how much of it where there are severities."""

    name: str
    severity: int | None

    @property
    def label(self) -> str:
        """The shift in one word."""
        return self.name if self.severity is None else f"{self.name}-{self.severity}"


@dataclass(frozen=True)
class Suite:
    """Shifted versions of a test set.

    ``clean``: the images as they were, None where the suite does not have them; ``shifts``: every shift; ``images``:
    reads or makes those of one, or with positions (n,) only these; ``groups``: what is averaged under which title;
    ``classes``: the model's classes (k,), ascending, that there are images of, None where it is all; ``same_images``:
    whether a position is the same image under every shift; ``clean_positions``: which of the clean images (n,) are of
    the suite's classes, None for all; ``checksum``: tells the data from others called the same, None where unknown.
    """

    name: str
    clean: LabelledSet | None
    shifts: tuple[Shift, ...]
    images: Callable[[Shift, Tensor | None], LabelledSet]
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    classes: Tensor | None = None
    same_images: bool = True
    clean_positions: Tensor | None = None
    checksum: int | None = None


def generated(clean: ImageSet, seed: int) -> Suite:
    """Return the 15 corruptions of ImageNet-C, its 4 others and 8 of MNIST-C at five severities, made when needed.

    Grey images have 3 others: saturation leaves them as they are. Images below 16 pixels have 4 of MNIST-C.
    """
    extra = [name for name in EXTRA if clean.shape[0] > 1 or name != COLOURED]
    mnist = [name for name in MNIST_C if min(clean.shape[1:]) >= smallest(name)]
    names = (*CORRUPTIONS, *extra, *mnist)

    def images(shift: Shift, positions: Tensor | None) -> ImageSet:
        assert shift.severity is not None
        index = torch.arange(len(clean)) if positions is None else positions
        some = clean.select(index)
        made = corrupt(some.images, shift.name, shift.severity, seed=seed, indices=index)
        return ImageSet(made, some.labels, clean.classes)

    shifts = tuple(Shift(name, severity) for name in names for severity in SEVERITIES)
    groups = {"15 corruptions": CORRUPTIONS, "extra": extra, "MNIST-C": mnist}
    return Suite(GENERATED, clean, shifts, images, groups, checksum=clean.checksum())


# Published shifted test sets as suites, recognised by how their folders lie.


Clean = Callable[[], LabelledSet]
"""Reads the model's own test images; called only for a suite of shifted versions of these."""


def from_folder(
    directory: Path,
    classes: Sequence[str],
    size: int,
    channels: int,
    clean: Clean,
    seed: int = 0,
    crop: float = 1.0,
) -> Suite:
    """Return the suite that lies in a folder.

    The layouts are those of CIFAR-10-C, MNIST-C, Tiny-ImageNet, ImageNet-C and ImageNet-R.

    Args:
        directory: the folder.
        classes: the names of the model's classes; photos may be of a part of them.
        size: height and width of the model's images in pixels.
        channels: of the model's images, 1 or 3.
        clean: the model's own test images, for the suites that are shifted versions of these.
        seed: of what is drawn: the augmentations of Tiny-ImageNet.
        crop: share of a photo's shorter side that the model sees, of photos that are not published cropped.

    Raises:
        DataError: the folder fits no layout, or its shifts show other photos each.
    """
    directory = directory.expanduser()
    if names := cifar_c_names(directory):
        shifts = tuple(Shift(name, severity) for name in names for severity in SEVERITIES)
        return Suite(
            directory.name,
            clean(),
            shifts,
            _picked(lambda s: read_cifar_c(directory, s.name, s.severity or 0, classes)),
            checksum=checksum_of_files(directory, sorted(directory.glob("*.npy"))),
        )
    if names := mnist_c_names(directory):
        return Suite(
            directory.name,
            clean(),
            tuple(Shift(name, None) for name in names if name != MNIST_C_CLEAN),
            _picked(lambda shift: read_mnist_c(directory, shift.name, classes)),
            checksum=checksum_of_files(directory, sorted(directory.glob("*/test_*.npy"))),
        )
    if (folder := part_folder(directory, "val")) is not None and (folder / ANNOTATIONS).is_file():
        return _augmented(directory, classes, size, channels, seed)
    if names := tuple(corruptions_in(directory)):
        return _corrupted(directory, names, classes, size, channels, clean)
    if any(folders_in(directory)):
        return _renditions(directory, classes, size, channels, crop)
    raise DataError(
        f"{directory} must hold a shifted test set: NAME.npy with labels.npy, NAME/test_images.npy, "
        f"val/{ANNOTATIONS}, or photos in CORRUPTION/SEVERITY/CLASS/ or CLASS/; give the folder that holds them"
    )


def _published(names: Sequence[str]) -> dict[str, list[str]]:
    """Return which of the published groups a folder has in full."""
    groups = {"15 corruptions": CORRUPTIONS, "extra": EXTRA}
    return {title: list(group) for title, group in groups.items() if set(group) <= set(names)}


def _part(present: Iterable[int], classes: Sequence[str]) -> Tensor | None:
    """Return the classes that a suite has images of, (k,), None where they are all of the model's."""
    part = torch.tensor(sorted(set(present)), dtype=torch.int64)
    return part if len(part) < len(classes) else None


def _corrupted(
    directory: Path, names: Sequence[str], classes: Sequence[str], size: int, channels: int, clean: Clean
) -> Suite:
    """Return ImageNet-C or Tiny-ImageNet-C (arXiv:1903.12261), of all of the model's classes or a part of them."""
    shifts = tuple(Shift(name, level) for name in names for level in severities_in(directory / name))

    def corrupted(shift: Shift) -> LabelledSet:
        return load_test_photos(directory, classes, size, channels, corruption=shift.name, severity=shift.severity)

    found, checksum = check_same_photos(directory, {s.label: directory / s.name / str(s.severity) for s in shifts})
    part = _part((number for number, label in enumerate(classes) if label in found), classes)
    # What is lost under a shift is told from clean images of the same classes: others may be easier or harder.
    photos: LabelledSet | None = clean()
    positions = torch.isin(photos.labels.cpu(), part).nonzero().flatten() if photos and part is not None else None
    if positions is not None and len(positions) == 0:
        photos = positions = None
    return Suite(
        directory.name,
        photos,
        shifts,
        _picked(corrupted),
        _published(names),
        part,
        clean_positions=positions,
        checksum=checksum,
    )


@dataclass(frozen=True)
class _Enlarged:
    """A decoder of small photos: enlarged bilinearly to the model's size, and only then changed, if at all."""

    augmentation: str | None
    seed: int

    def __call__(self, file: str | IO[bytes], position: int, size: int, channels: int) -> Tensor:
        image = whole_square(file, position, size, channels)
        if self.augmentation is None:
            return image
        return perturb(image[None], self.augmentation, seed=self.seed, indices=[position])[0]


def _augmented(directory: Path, classes: Sequence[str], size: int, channels: int, seed: int) -> Suite:
    """Return the validation photos of Tiny-ImageNet, enlarged and then augmented (paper, Appendix G.8)."""
    photos = load_test_photos(directory, classes, size, channels)
    return Suite(
        directory.name,
        replace(photos, decoder=_Enlarged(None, seed)),
        tuple(Shift(name, None) for name in AUGMENTATIONS),
        _picked(lambda shift: replace(photos, decoder=_Enlarged(shift.name, seed))),
        classes=_part(photos.labels.tolist(), classes),
        checksum=checksum_of_photos(directory, photos),
    )


def _renditions(directory: Path, classes: Sequence[str], size: int, channels: int, crop: float) -> Suite:
    """Return ImageNet-R (arXiv:2006.16241): the rendition is the part of a file's name before the underscore."""
    photos = load_test_photos(directory, classes, size, channels, crop=crop)
    kinds: dict[str, list[int]] = {}
    for position in range(len(photos)):
        kinds.setdefault(Path(photos.source.name(position)).name.split("_")[0], []).append(position)
    return Suite(
        directory.name,
        None,
        tuple(Shift(kind, None) for kind in sorted(kinds)),
        _picked(lambda shift: photos.select(torch.tensor(kinds[shift.name]))),
        classes=_part(photos.labels.tolist(), classes),
        same_images=False,
        checksum=checksum_of_photos(directory, photos),
    )


def _picked(read: Callable[[Shift], LabelledSet]) -> Callable[[Shift, Tensor | None], LabelledSet]:
    """Return a reader of whole shifts as one of parts, too."""
    return lambda shift, positions: read(shift) if positions is None else read(shift).select(positions)


# What the answers kept in a folder were measured with: they are used again only under the same settings.


SETTINGS, WEIGHTS, DATA, STATISTICS = "settings.json", "weights", "data", "statistics"
TRAINING = "training"  # whose statistics batch normalisation took


def agree(out: Path, settings: Mapping[str, object], weights: Mapping[str, str]) -> None:
    """Compare settings with those kept in ``out``, and keep them together with what is there.

    Weights are compared for the models that both name; the other models are added. Folders of the suite ``corruptions``
    that were written before the data were noted are taken as they are, and the data are noted.

    Args:
        out: the folder; made where it does not exist.
        settings: what answers are measured with, by name; as JSON writes it.
        weights: the digest of each model's weights, by its name.

    Raises:
        CheckpointError: ``out`` holds other values, or they cannot be read or written.
    """
    file = out / SETTINGS
    kept = _read(file)
    older = DATA not in kept and kept.get("suite") == GENERATED
    compared = {name: value for name, value in settings.items() if not (older and name == DATA)}
    differ = [
        f"{name} {kept.get(name)!r}, not {value!r}" for name, value in compared.items() if kept.get(name) != value
    ]
    there = kept.get(WEIGHTS, {})
    differ += [f"other weights of {name}" for name, value in weights.items() if there.get(name, value) != value]
    if kept and differ:
        raise CheckpointError(
            f"{out} holds answers measured with other settings or models ({differ[0]}); give another --out, or the same"
        )
    text = json.dumps({**kept, **settings, WEIGHTS: {**there, **weights}}, indent=2, sort_keys=True) + "\n"
    with writing(file, error=CheckpointError):
        out.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def _read(file: Path) -> dict[str, Any]:
    """Return what a folder holds, nothing for a new one; older ones noted no statistics, there were only training's."""
    if not file.is_file():
        return {}
    try:
        kept = read_mapping(file)
        if not isinstance(kept.get(WEIGHTS), dict):
            raise ValueError(f"no {WEIGHTS}")
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{file} is damaged ({error}); give another --out, or remove the folder to measure again"
        ) from error
    return {STATISTICS: TRAINING, **kept}


# Asking trained models about shifted test images, shift by shift: each answer is kept, and never asked for again.


THRESHOLD = 0.9  # certainty at which a halting model would have stopped
CLEAN = Shift("clean", None)


@dataclass(frozen=True)
class CellAnswers:
    """What one model answered on the images of one shift, (n,) each, at the most certain tick.

    ``ticks``: those that it would have taken with halting at a certainty of 0.9; ``ratio``: the E-I ratio, mean over
    ticks, None for a model without populations; ``restricted`` and its confidence: the answer at the same tick if only
    the suite's classes compete, None for a suite of all classes.
    """

    positions: Tensor
    label: Tensor
    answer: Tensor
    certainty: Tensor
    confidence: Tensor
    ticks: Tensor
    ratio: Tensor | None
    restricted: Tensor | None = None
    restricted_confidence: Tensor | None = None

    @classmethod
    def of(cls, answers: Answers) -> CellAnswers:
        """Reduce all ticks of a split's answers."""
        sure = answers.certainty >= THRESHOLD
        never = torch.full_like(answers.labels, sure.shape[1])

        def chosen(values: Tensor | None) -> Tensor | None:
            return answers.at_most_certain(values) if values is not None else None

        return cls(
            positions=answers.positions,
            label=answers.labels,
            answer=answers.at_most_certain(answers.predicted),
            certainty=answers.at_most_certain(answers.certainty),
            confidence=answers.at_most_certain(answers.confidence),
            ticks=torch.where(sure.any(1), sure.float().argmax(1) + 1, never),
            ratio=answers.ratio.mean(1) if answers.ratio is not None else None,
            restricted=chosen(answers.restricted),
            restricted_confidence=chosen(answers.restricted_confidence),
        )

    def among_classes(self) -> CellAnswers:
        """Return the answers and confidences if only the suite's classes compete; all else is as it is."""
        assert self.restricted is not None
        assert self.restricted_confidence is not None
        return replace(self, answer=self.restricted, confidence=self.restricted_confidence)

    @property
    def correct(self) -> Tensor:
        """Whether the answer is right, (n,) bool."""
        return self.answer == self.label

    @property
    def accuracy(self) -> float:
        """Share of right answers, in [0, 1]."""
        return float(self.correct.double().mean())

    def write(self, file: Path) -> None:
        """Write all columns at once, or nothing."""
        columns = {name: value.contiguous() for name, value in vars(self).items() if value is not None}
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        part.write_bytes(save(columns))
        part.replace(file)

    @classmethod
    def read(cls, file: Path) -> CellAnswers:
        """Read what :meth:`write` wrote; raises :class:`CheckpointError` where it is damaged."""
        try:
            columns: dict[str, Any] = load_file(file)
            return cls(**{"ratio": None, **columns})
        except (SafetensorError, OSError, TypeError) as error:
            raise CheckpointError(f"{file} is damaged ({error}); remove it and it is measured again") from error


Progress = Callable[[str, int, int], None]
"""Called with (what is asked, cells done, cells in all) before each cell."""


@dataclass(frozen=True)
class Asked:
    """A model under test: what it is called, the model, and the folder of its checkpoint."""

    name: str
    model: Thinker
    weights: Path


def ask(
    models: Sequence[Asked],
    suite: Suite,
    out: Path,
    settings: Mapping[str, object],
    *,
    batch: int = 500,
    batch_statistics: bool = False,
    decoding: Decoding | None = None,
    progress: Progress = lambda what, done, total: None,
) -> dict[str, dict[Shift, CellAnswers]]:
    """Ask every model about every shift of a suite, and about the clean images; return the answers by model and shift.

    A cell is kept in ``out/cells/MODEL/SHIFT.safetensors`` and read from there the next time; one without the
    restricted answers that the suite wants is asked again. The images of a shift are made once, for all models that
    lack it. ``settings`` say what the cells are measured with; models may be added to those that ``out`` holds. With
    ``batch_statistics`` backbones normalise by the statistics of each batch, not by those of training.

    Raises :class:`CheckpointError` where ``out`` holds cells of other settings, of other weights under the same name,
    or a damaged one.
    """
    known = {} if suite.checksum is None else {"data": f"{suite.checksum:08x}"}
    known[STATISTICS] = f"batches of {batch}" if batch_statistics else TRAINING
    agree(out, {**settings, **known}, {asked.name: _digest(asked.weights) for asked in models})
    shifts = ([CLEAN] if suite.clean is not None else []) + list(suite.shifts)
    answers: dict[str, dict[Shift, CellAnswers]] = {asked.name: {} for asked in models}
    done, total = 0, len(shifts) * len(models)
    for shift in shifts:
        images: LabelledSet | None = None
        for asked in models:
            file = out / "cells" / asked.name / f"{shift.label}.safetensors"
            cell = CellAnswers.read(file) if file.is_file() else None
            if cell is None or (suite.classes is not None and cell.restricted is None):
                progress(f"{shift.label}, {asked.name}", done, total)
                if images is None:
                    images = suite.clean if shift == CLEAN else suite.images(shift, None)
                assert images is not None
                with statistics_of_batches(asked.model) if batch_statistics else nullcontext():
                    found = collect_answers(
                        asked.model,
                        images.decoded_with(decoding or Decoding()),
                        batch=batch,
                        positions=suite.clean_positions if shift == CLEAN else None,
                        classes=suite.classes,
                    )
                cell = CellAnswers.of(found)
                cell.write(file)
            answers[asked.name][shift] = cell
            done += 1
    return answers


def _digest(weights: Path) -> str:
    return hashlib.blake2b((weights / "model.safetensors").read_bytes(), digest_size=16).hexdigest()

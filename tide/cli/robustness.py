"""``tide robustness``: trained models on corrupted, rendered and otherwise shifted test images, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import tyro

from tide.cli.options import DataDir, Device, Workers
from tide.cli.parse import parse
from tide.device import pick_device, pick_workers, set_threads
from tide.errors import InputError, did_you_mean

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure

    from tide.config import ModelConfig
    from tide.data import LabelledSet
    from tide.runs.reopen import SplitSource
    from tide.studies.comparison import Seeds
    from tide.studies.robustness import Asked, Shift, Suite
    from tide.studies.robustness_report import Answers

GENERATED = "corruptions"  # the suite made from the test images
IMAGES = 2000  # of which it is made


@dataclass(frozen=True, kw_only=True)
class RobustnessOptions(DataDir, Device, Workers):
    """Options of a comparison on shifted images."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders, trained on the same data, or folders that save_pretrained wrote."""
    suite: str = GENERATED
    """corruptions (the 15 of ImageNet-C and 4 others, made from the test images), or a published set: its folder, or
    cifar-10-c, cifar-100-c, mnist-c, tiny-imagenet, tiny-imagenet-c, imagenet-c or imagenet-r for one among the data
    sets."""
    data: str | None = None
    """Data set whose test images are taken (none: the runs'): a name, hub:DIR, or folder:DIR."""
    baseline: Path | None = None
    """Run that the others are compared with (none: the first)."""
    images: int | None = None
    """Use only the first so many test images, the same for all; for the suite corruptions (none: 2000)."""
    seed: int = 0
    """Seed of the corruptions, or of the augmentations of Tiny-ImageNet."""
    statistics: Literal["training", "batch"] = "training"
    """Whose mean and variance batch normalisation takes: those of training, or of each batch that is asked about. What
    the latter win back, the shift took in the backbone; an answer then depends on the images beside it."""
    checkpoint: Literal["best", "last"] = "last"
    """Checkpoint of every run; the best was chosen on the same test images."""
    out: Path | None = None
    """Folder of the answers and the report (none: runs/robustness-SUITE); what it holds is not asked again."""
    batch: int = 500
    """Images per batch."""


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parse(
        RobustnessOptions,
        arguments,
        prog="tide robustness",
        description="Trained models on corrupted, rendered and otherwise shifted test images, side by side.",
    )
    images = IMAGES if options.images is None else options.images
    for name, value in (("images", images), ("batch", options.batch)):
        if value < 1:
            raise InputError(f"--{name} must be at least 1, got {value}")
    if options.images is not None and options.suite != GENERATED:
        raise InputError(f"--images must be left out but for the suite {GENERATED}; a published set is taken whole")
    if not options.runs:
        raise InputError("no run given; name one or more: tide robustness runs/tide-42 runs/ctm-42")
    set_threads(options.threads)
    from rich.console import Console

    from tide.data import Decoding
    from tide.plots.robustness import draw_corruptions
    from tide.runs.folder import describe_environment
    from tide.studies.publish import command_line, save_study
    from tide.studies.robustness import ask
    from tide.studies.robustness_report import markdown, robustness
    from tide.train.report import Pieces

    inputs = open_models(options.runs, options.checkpoint, options.data, options.data_dir, pick_device(options.device))
    models, seeds = inputs.models, inputs.seeds
    baseline = _baseline(options, [asked.name for asked in models])
    suite = open_suite(inputs, options.suite, images, options.seed)
    out = options.out or Path("runs") / f"robustness-{suite.name}"
    settings = {"suite": suite.name, "images": images, "seed": options.seed, "checkpoint": options.checkpoint}
    console = Console(stderr=True)
    with Pieces(console) as progress:
        answers = ask(
            models,
            suite,
            out,
            settings,
            batch=options.batch,
            batch_statistics=options.statistics == "batch",
            decoding=Decoding(
                workers=pick_workers(options.workers), on_unreadable=lambda what: console.print(f"left out: {what}")
            ),
            progress=progress,
        )
        result = robustness(answers, suite, baseline)
        if options.statistics == "batch":
            result["statistics"] = f"batches of {options.batch}"
        text = markdown(result)
        if any(len(runs) > 1 for runs in seeds.values()):
            text += _over_seeds(result, answers, suite, seeds, baseline)
    result["environment"] = {**describe_environment(), "command": command_line("robustness", arguments)}
    figures = figures_of(result, answers, suite)
    if options.suite == GENERATED and suite.clean is not None:
        first, shifts = suite.clean.select(slice(1)).images, tuple(result["shifts"])
        figures["corruptions.png"] = lambda: draw_corruptions(first, names=shifts, seed=options.seed)
    save_study(out, "robustness", result, text, figures)
    print(text, end="")
    print(f"\n{out}: robustness.json, robustness.md, {', '.join(figures)}")
    return 0


def _baseline(options: RobustnessOptions, names: Sequence[str]) -> str:
    if options.baseline is None:
        return names[0]
    paths = [path.resolve() for path in options.runs]
    if options.baseline.resolve() not in paths:
        raise InputError(f"--baseline must be one of the {len(paths)} runs, got {options.baseline}; name it among them")
    return names[paths.index(options.baseline.resolve())]


def _over_seeds(result: dict[str, Any], answers: Answers, suite: Suite, seeds: Seeds, baseline: str) -> str:
    """Add the numbers over seeds to a result, and to its part among the suite's classes; return their section."""
    from tide.studies.comparison import over_seeds, seeds_markdown
    from tide.studies.robustness_report import among_classes

    result["seeds"] = over_seeds(result["models"], answers, suite, seeds, baseline)
    text = seeds_markdown(result["seeds"], "Over seeds")
    if suite.classes is not None:
        part = result["restricted"]
        part["seeds"] = over_seeds(part["models"], among_classes(answers, suite.classes), suite, seeds, baseline)
        text += seeds_markdown(part["seeds"], f"Over seeds, among {part['classes']} classes")
    return text


# What is looked at: the models, which of them are seeds of one, and the suite for them.


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
    from tide.models.saved import local, run_checkpoint
    from tide.runs.folder import RunFolder
    from tide.runs.reopen import open_with_source
    from tide.studies.comparison import seeds_of
    from tide.studies.robustness import Asked

    models: list[Asked] = []
    configs: dict[str, ModelConfig] = {}
    first: tuple[Path, Kind, SplitSource] | None = None
    paths = [local(path) for path in paths]
    for path in paths:
        model, source = open_with_source(path, checkpoint, data, directory)
        is_run = (path / "config.yaml").is_file()
        if not path.is_dir():
            raise InputError(f"{path} must be a folder, got a model of the hub; save it with save_pretrained first")
        kind = _kind(source, path)
        first = first or (path, kind, source)
        if not kind.fits(first[1]):
            raise InputError(
                f"all runs must be of one kind, got {kind} in {path} and {first[1]} in {first[0]}; leave one out"
            )
        if first[2].data is None:
            first = (path, kind, source)  # the first that says what it was trained on
        twice = [other.name for other in paths].count(path.name) > 1
        name = f"{path.resolve().parent.name}-{path.name}" if twice else path.resolve().name
        if name in configs:
            raise InputError(f"runs must be different, got {path} twice; name it once")
        models.append(Asked(name, model.to(device), run_checkpoint(path, checkpoint) if is_run else path))
        configs[name] = RunFolder(path).config if is_run else model.config
    assert first is not None
    path, kind, source = first
    return Inputs(models, seeds_of(configs), kind, source, path)


def _kind(source: SplitSource, path: Path) -> Kind:
    images = source.model.images
    classes = source.model.output.labels or source.read(path).test.classes
    return Kind(source.data.title if source.data else None, images.channels, images.size, images.crop, classes)


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
    from tide.studies.robustness import from_folder, generated

    kind = inputs.kind
    if suite == GENERATED:
        return generated(inputs.test_images().select(slice(images)), seed)

    def clean() -> LabelledSet:
        found = inputs.test_images()
        if found.classes != kind.classes:
            raise InputError(
                f"{kind.data} must have the classes of {inputs.path} ({_some(kind.classes)}), got "
                f"{_some(found.classes)}; name the data it was trained on with --data"
            )
        return found

    return from_folder(
        _folder(suite, inputs.source.directory), kind.classes, kind.size, kind.channels, clean, seed, kind.crop
    )


def _folder(suite: str, directory: Path | None) -> Path:
    """Return the folder of a published set; a path goes before a name."""
    from tide.data import default_directory
    from tide.data.shifted import SHIFTED, locate_shifted

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
            f"{place} has no folder {' or '.join(SHIFTED[suite])}, which holds the suite {suite}; put it there, or "
            "give its own path or another --data-dir"
        )
    return found


def _some(classes: Sequence[str]) -> str:
    return f"{', '.join(classes[:3])}{', ...' if len(classes) > 3 else ''}"


# The pictures.


EXAMPLES = 6  # images on the sheet, of different classes
MIDDLE_SEVERITY = 3  # or the nearest that a shift has


def figures_of(result: Mapping[str, Any], answers: Answers, suite: Suite) -> dict[str, Callable[[], Figure]]:
    """Return what draws the pictures of a result, by the name of their file."""
    from tide.plots.robustness import draw_differences, draw_severity

    figures: dict[str, Callable[[], Figure]] = {
        "differences.png": partial(draw_differences, result),
        "sheet.png": partial(_sheet, answers, suite),
    }
    if "restricted" in result:
        part = {**result, "models": result["restricted"]["models"]}
        figures["restricted.png"] = partial(draw_differences, part, among=result["restricted"]["classes"])
    if any(levels != [None] for levels in result["shifts"].values()):
        figures["severity.png"] = partial(draw_severity, result)
    return figures


def _sheet(answers: Answers, suite: Suite) -> Figure:
    """Draw the first image of each of some classes under every shift, with what the models answered."""
    import torch

    from tide.data import to_float
    from tide.plots.robustness import draw_sheet

    images, said, truths = {}, {}, {}
    for shift in _middle(suite):
        cells = {name: cells[shift] for name, cells in answers.items()}
        labels = next(iter(cells.values())).label
        places = torch.stack([(labels == label).nonzero()[0, 0] for label in torch.unique(labels)[:EXAMPLES]])
        some = suite.images(shift, next(iter(cells.values())).positions[places])
        images[shift.label] = [
            picture.permute(1, 2, 0).numpy() for picture in to_float(some.select(slice(None)).images)
        ]
        truths[shift.label] = [some.classes[int(label)] for label in labels[places]]
        said[shift.label] = [
            {name: some.classes[int(cell.answer[place])] for name, cell in cells.items()} for place in places
        ]
    return draw_sheet(images, said, truths)


def _middle(suite: Suite) -> list[Shift]:
    """Return each shift at the severity nearest to the middle one, the lesser of two as near."""
    nearest: dict[str, Shift] = {}
    for shift in sorted(suite.shifts, key=lambda s: abs((s.severity or MIDDLE_SEVERITY) - MIDDLE_SEVERITY)):
        nearest.setdefault(shift.name, shift)
    return [shift for shift in suite.shifts if nearest[shift.name] == shift]

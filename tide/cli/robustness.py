"""``tide robustness``: trained models on corrupted, rendered and otherwise shifted test images, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from tide.cli.parse import parse
from tide.device import DeviceName, pick_device, pick_workers, set_threads
from tide.errors import InputError

if TYPE_CHECKING:
    from tide.studies.comparison import Seeds
    from tide.studies.robustness import Suite
    from tide.studies.robustness_report import Answers

CORRUPTIONS = "corruptions"  # the suite made from the test images
IMAGES = 2000  # of which it is made


@dataclass(frozen=True, kw_only=True)
class RobustnessArguments:
    """Options of a comparison on shifted images."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders, trained on the same data, or folders that save_pretrained wrote."""
    suite: str = CORRUPTIONS
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
    data_dir: Path | None = None
    """Folder of the data sets (none: the run's, else $TIDE_DATA, else a cache folder of the user's)."""
    batch: int = 500
    """Images per batch."""
    device: DeviceName = "auto"
    """Device to compute on."""
    threads: int | None = None
    """Threads of one operation on the CPU."""
    workers: int | None = None
    """Processes that decode photos (none: one for each core but one, 8 at most)."""


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    given = parse(
        RobustnessArguments,
        arguments,
        prog="tide robustness",
        description="Trained models on corrupted, rendered and otherwise shifted test images, side by side.",
    )
    images = IMAGES if given.images is None else given.images
    for name, value in (("images", images), ("batch", given.batch)):
        if value < 1:
            raise InputError(f"--{name} is {value}, 1 or more are wanted")
    if given.images is not None and given.suite != CORRUPTIONS:
        raise InputError(f"--images is for the suite {CORRUPTIONS}: a published set is taken whole, leave it out")
    if not given.runs:
        raise InputError("no run given; name one or more: tide robustness runs/tide-42 runs/ctm-42")
    set_threads(given.threads)
    from rich.console import Console

    from tide.cli.progress import Pieces
    from tide.cli.robustness_figures import figures_of
    from tide.cli.robustness_inputs import open_models, open_suite
    from tide.data import Decoding
    from tide.plots.robustness import draw_corruptions
    from tide.runs.folder import describe_environment
    from tide.studies.publish import save_study, told
    from tide.studies.robustness import ask
    from tide.studies.robustness_report import markdown, robustness

    inputs = open_models(given.runs, given.checkpoint, given.data, given.data_dir, pick_device(given.device))
    models, seeds = inputs.models, inputs.seeds
    baseline = _baseline(given, [asked.name for asked in models])
    suite = open_suite(inputs, given.suite, images, given.seed)
    out = given.out or Path("runs") / f"robustness-{suite.name}"
    settings = {"suite": suite.name, "images": images, "seed": given.seed, "checkpoint": given.checkpoint}
    console = Console(stderr=True)
    with Pieces(console) as progress:
        answers = ask(
            models,
            suite,
            out,
            settings,
            batch=given.batch,
            batch_statistics=given.statistics == "batch",
            decoding=Decoding(
                workers=pick_workers(given.workers), on_unreadable=lambda what: console.print(f"left out: {what}")
            ),
            progress=progress,
        )
        result = robustness(answers, suite, baseline)
        if given.statistics == "batch":
            result["statistics"] = f"batches of {given.batch}"
        text = markdown(result)
        if any(len(runs) > 1 for runs in seeds.values()):
            text += _over_seeds(result, answers, suite, seeds, baseline)
    result["environment"] = {**describe_environment(), "command": told("robustness", arguments)}
    figures = figures_of(result, answers, suite)
    if given.suite == CORRUPTIONS and suite.clean is not None:
        first, shifts = suite.clean.select(slice(1)).images, tuple(result["shifts"])
        figures["corruptions.png"] = lambda: draw_corruptions(first, names=shifts, seed=given.seed)
    save_study(out, "robustness", result, text, figures)
    print(text, end="")
    print(f"\n{out}: robustness.json, robustness.md, {', '.join(figures)}")
    return 0


def _baseline(given: RobustnessArguments, names: Sequence[str]) -> str:
    if given.baseline is None:
        return names[0]
    paths = [path.resolve() for path in given.runs]
    if given.baseline.resolve() not in paths:
        raise InputError(f"baseline {given.baseline} is none of the {len(paths)} runs; give it among them")
    return names[paths.index(given.baseline.resolve())]


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

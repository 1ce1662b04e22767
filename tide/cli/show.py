"""``tide show``: one picture of how a model thinks about an image, or of how its training went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import tyro

from tide.cli.parse import parse
from tide.config import ImageConfig
from tide.device import DeviceName, pick_device, set_threads
from tide.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from tide.models.thinker import Thinker
    from tide.runs.reopen import SplitSource
    from tide.types import ThoughtOutput


@dataclass(frozen=True, kw_only=True)
class ShowArguments:
    """Options of the picture."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder, or folder that save_pretrained wrote."""
    image: Annotated[str | None, tyro.conf.Positional] = None
    """PNG or JPEG file of any size and mode, or the number of an image of the run's test split; without it the picture
    shows how the training went."""
    out: Path | None = None
    """Picture to write (none: thought-<image>.png or training-<run>.png in the current folder)."""
    animate: Path | None = None
    """Write the thought as an animation instead, a frame for every tick: .gif, .webp, or .mp4 where ffmpeg is found."""
    data_dir: Path | None = None
    """Folder of the data sets, for a test image by number."""
    checkpoint: Literal["best", "last"] = "best"
    """Which checkpoint of a run to read."""
    device: DeviceName = "auto"
    """Device to compute on."""
    threads: int | None = None
    """Threads of one operation on the CPU."""


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    given = parse(
        ShowArguments,
        arguments,
        prog="tide show",
        description="One picture of how a model thinks about an image; without an image, of how its training went.",
    )
    set_threads(given.threads)
    from tide.studies.figures import save

    if given.animate is not None:
        return _animate(given, given.animate)
    figure, name = _thought(given, given.image) if given.image is not None else _training(given.run)
    path = given.out or Path(f"{name.replace('/', '-').replace(':', '-')}.png")
    try:
        save(figure, path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cannot write {path}: {reason}; give a .png file with --out") from error
    print(path)
    return 0


def _training(run: Path) -> tuple[Figure, str]:
    from tide.plots.training import draw_training

    return draw_training(run), f"training-{run.name}"


def _animate(given: ShowArguments, path: Path) -> int:
    """Write the thought about an image as an animation."""
    from tide.plots.animation import Moving, frames
    from tide.plots.moving import check_kind, write_animation
    from tide.runs.reopen import open_with_source

    if given.image is None:
        raise InputError(
            "no image given, --animate shows the thought about one: name a file or the number of a test image"
        )
    check_kind(path)
    model, source = open_with_source(given.run, given.checkpoint, directory=given.data_dir)
    if not isinstance(model.config.input, ImageConfig) or model.config.output.positions:
        raise InputError(f"--animate is {path}, none is wanted: it shows images with one answer; leave it out")
    seen = _think(given, given.image, model, source)
    write_animation(path, frames(Moving.from_output(seen.image, seen.out, seen.model, truth=seen.truth)))
    print(f"{path}  {path.stat().st_size:,} bytes")
    return 0


def _thought(given: ShowArguments, chosen: str) -> tuple[Figure, str]:
    from tide.plots.thought import Thought, draw_thought
    from tide.runs.reopen import open_with_source

    model, source = open_with_source(given.run, given.checkpoint, directory=given.data_dir)
    task = _task_thought(given, chosen, model, source)
    if task is not None:
        return task
    seen = _think(given, chosen, model, source)
    return draw_thought(Thought.from_output(seen.image, seen.out, seen.model, truth=seen.truth)), f"thought-{seen.name}"


def _task_thought(given: ShowArguments, chosen: str, model: Thinker, source: SplitSource) -> tuple[Figure, str] | None:
    """Draw the thought about a test sample of a task that a program draws, given by its number; None of other data."""
    import torch

    from tide.data import DrawnSet
    from tide.inputs import moved, to_float
    from tide.plots.task_thought import draw_task_thought

    config = model.config
    if isinstance(config.input, ImageConfig) and not config.output.positions:
        return None
    if not chosen.isdigit():
        raise InputError(f"the sample is {chosen!r}, the number of a test sample is wanted: the solution is drawn, too")
    data = source.read(given.run)
    number, test, device = int(chosen), data.test, pick_device(given.device)
    if not isinstance(test, DrawnSet):
        raise InputError(f"{data.name} is no task, one is wanted: the model answers at several positions")
    if number >= len(test):
        raise InputError(f"test sample {number} does not exist, 0 to {len(test) - 1} do; give one of them")
    sample = test.select(slice(number, number + 1))
    inputs = to_float(sample.images)
    # Digits are attended to and a question is not: what attention reads then changes in number.
    recorded = ("attention",) if "attention" in model.cell.recordable() and isinstance(inputs, torch.Tensor) else ()
    model.to(device).eval()
    with torch.no_grad():
        out = model(moved(inputs, device), record=recorded)
    return draw_task_thought(model, inputs, out, sample.labels[0]), f"thought-{data.name}-{number}"


class Seen(NamedTuple):
    """An image (channels, H, W), what a model made of it, the image's name, and its label where that is known."""

    image: Tensor
    out: ThoughtOutput
    model: Thinker
    name: str
    truth: str | None


def _think(given: ShowArguments, chosen: str, model: Thinker, source: SplitSource) -> Seen:
    """Think about a photo, or about a test image given by its number."""
    import torch

    from tide.data import to_float
    from tide.plots.thought import record
    from tide.runs.reopen import read_photo

    device, truth = pick_device(given.device), None
    if chosen.isdigit() and not Path(chosen).exists():
        number = int(chosen)
        data = source.read(given.run)
        if number >= len(data.test):
            raise InputError(f"test image {number} does not exist, 0 to {len(data.test) - 1} do; give one of them")
        image = to_float(data.test.select(slice(number, number + 1)).images)
        truth = data.test.classes[int(data.test.labels[number])]
        name = f"{data.name}-{number}"
    else:
        image = read_photo(model, Path(chosen))
        name = Path(chosen).stem
    model.to(device).eval()
    with torch.no_grad():
        out = model(image.to(device), record=record(model))
    return Seen(image[0], out, model, name, truth)

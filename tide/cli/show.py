"""``tide show``: one picture of how a model thinks about an image, or of how its training went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import tyro

from tide.cli import act
from tide.cli.options import Checkpoint, DataDir, Device
from tide.cli.parse import parse
from tide.config import ScheduleConfig
from tide.device import pick_device, set_threads
from tide.errors import InputError
from tide.files import writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from tide.models.inputs import Inputs
    from tide.models.thinker import Thinker
    from tide.runs.reopen import SplitSource
    from tide.types import ThoughtOutput


@dataclass(frozen=True, kw_only=True)
class ShowOptions(Checkpoint, DataDir, Device):
    """Options of the picture."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder, or folder that save_pretrained wrote."""
    image: Annotated[str | None, tyro.conf.Positional] = None
    """PNG or JPEG file of any size and mode, or the number of an image of the run's test split; without it the picture
    shows how the training went."""
    out: Path | None = None
    """Picture to write (none: thought-<image>.png, training-<run>.png or thinking-<run>.png in the current folder)."""
    thinking: bool = False
    """Without an image: does it think on? What changes from tick to tick, as the last evaluation found it."""
    animate: Path | None = None
    """Write the thought as an animation instead, a frame for every tick (images, mazes, parity): .gif, .webp, or .mp4
    where ffmpeg is found."""


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    if act.of_a_run(arguments):
        return act.show(arguments)
    options = parse(
        ShowOptions,
        arguments,
        prog="tide show",
        description="One picture of how a model thinks about an image; without an image, of how its training went.",
    )
    set_threads(options.threads)
    from tide.studies.publish import save

    if options.animate is not None:
        return _animate(options, options.animate)
    if options.thinking and options.image is not None:
        raise InputError(f"--thinking must be left out with an image, got {options.image}; it is of a whole evaluation")
    if options.image is not None:
        figure, name = _thought(options, options.image)
    else:
        figure, name = _thinking(options.run) if options.thinking else _training(options.run)
    path = options.out or Path(f"{name.replace('/', '-').replace(':', '-')}.png")
    if path.suffix.removeprefix(".") not in ("", *figure.canvas.get_supported_filetypes()):
        raise InputError(f"--out must end as pictures do, got {path}; give a .png file with --out")
    with writing(path, "give a .png file with --out"):
        save(figure, path)
    print(path)
    return 0


def _training(run: Path) -> tuple[Figure, str]:
    from tide.plots.training import draw_training

    return draw_training(run), f"training-{run.name}"


def _thinking(run: Path) -> tuple[Figure, str]:
    from tide.plots.thinking import draw_thinking

    return draw_thinking(run), f"thinking-{run.name}"


def _animate(options: ShowOptions, path: Path) -> int:
    """Write the thought about an input as an animation."""
    import torch

    from tide.plots.animation import Moving, check_kind, frames, write_animation
    from tide.runs.reopen import open_with_source

    if options.image is None:
        raise InputError(
            "no image given, --animate shows the thought about one: name a file or the number of a test image"
        )
    check_kind(path)
    model, source = open_with_source(options.run, options.checkpoint, directory=options.data_dir)
    if isinstance(model.config.input, ScheduleConfig) or model.config.output.emitted:
        raise InputError(
            f"--animate must be left out, got {path}; it shows neither a schedule nor an answer emitted over the ticks"
        )
    seen = _think(options, options.image, model, source)
    assert isinstance(seen.inputs, torch.Tensor)
    write_animation(path, frames(Moving.from_output(seen.inputs[0], seen.out, seen.model, seen.target)))
    print(f"{path}  {path.stat().st_size:,} bytes")
    return 0


def _thought(options: ShowOptions, chosen: str) -> tuple[Figure, str]:
    from tide.plots.thought import Thought, draw_task_thought, draw_thought
    from tide.runs.reopen import open_with_source

    seen = _think(options, chosen, *open_with_source(options.run, options.checkpoint, directory=options.data_dir))
    name = f"thought-{seen.name}"
    if not seen.model.config.classifies_images:
        assert seen.target is not None
        return draw_task_thought(seen.model, seen.inputs, seen.out, seen.target), name
    return draw_thought(Thought.from_output(seen.inputs[0], seen.out, seen.model, truth=seen.truth)), name


class Seen(NamedTuple):
    """One input (1, ...), what a model made of it, its name, its target (*S) and class where these are known."""

    inputs: Inputs
    out: ThoughtOutput
    model: Thinker
    name: str
    target: Tensor | None
    truth: str | None


def _think(options: ShowOptions, chosen: str, model: Thinker, source: SplitSource) -> Seen:
    """Think about a photo, or about a test sample given by its number."""
    import torch

    from tide.models.inputs import moved, to_float
    from tide.plots.thought import record
    from tide.runs.reopen import read_photo

    photos = model.config.classifies_images
    device, target, truth = pick_device(options.device), None, None
    if chosen.isdigit() and not Path(chosen).exists():
        number, data = int(chosen), source.read(options.run)
        what = "image" if photos else "sample"
        if number >= len(data.test):
            raise InputError(f"test {what} {number} does not exist, 0 to {len(data.test) - 1} do; give one of them")
        sample = data.test.select(slice(number, number + 1))
        inputs, target = to_float(sample.images), sample.labels[0]
        truth = data.test.classes[int(target)] if photos else None
        name = f"{Path(data.name).name}-{number}"  # of a folder of photos, its own name
    elif photos:
        inputs, name = read_photo(model, Path(chosen)), Path(chosen).stem
    else:
        raise InputError(f"the sample must be the number of a test sample, got {chosen!r}; the model takes no photos")
    # Digits are attended to and a question is not: what attention reads then changes in number.
    names = [part for part in record(model) if part != "attention" or isinstance(inputs, torch.Tensor)]
    model.to(device).eval()
    with torch.no_grad():
        out = model(moved(inputs, device), record=names)
    return Seen(inputs, out, model, name, target, truth)

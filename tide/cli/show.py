"""``tide show``: one picture of how a model thinks about an image, or of how its training went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from tide.cli.parse import parse
from tide.device import DeviceName, pick_device, set_threads
from tide.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class ShowArguments:
    """Options of the picture."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder, or folder that save_pretrained wrote."""
    image: Annotated[str | None, tyro.conf.Positional] = None
    """PNG or JPEG file of any size and mode, or the number of an image of the run's test split; without it the picture
    shows how the training went."""
    out: Path | None = None
    """Picture to write (default: thought-<image>.png or training-<run>.png in the current folder)."""
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
    figure, name = _thought(given, given.image) if given.image is not None else _training(given.run)
    path = given.out or Path(f"{name.replace('/', '-').replace(':', '-')}.png")
    try:
        figure.savefig(path, dpi=130)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cannot write {path}: {reason}; give a .png file with --out") from error
    print(path)
    return 0


def _training(run: Path) -> tuple[Figure, str]:
    from tide.plots.training import draw_training

    return draw_training(run), f"training-{run.name}"


def _thought(given: ShowArguments, chosen: str) -> tuple[Figure, str]:
    """Think about a photo, or about a test image given by its number."""
    import torch

    from tide.data import to_float
    from tide.models.load import load
    from tide.plots.thought import Thought, draw_thought, record
    from tide.runs.reopen import read_photo, reopen

    device, truth = pick_device(given.device), None
    if chosen.isdigit() and not Path(chosen).exists():
        number = int(chosen)
        model, data = reopen(given.run, checkpoint=given.checkpoint, data_dir=given.data_dir)
        if number >= len(data.test):
            raise InputError(f"test image {number} does not exist, 0 to {len(data.test) - 1} do; give one of them")
        image = to_float(data.test.select(slice(number, number + 1)).images)
        truth = data.test.classes[int(data.test.labels[number])]
        name = f"{data.name}-{number}"
    else:
        model = load(given.run, checkpoint=given.checkpoint)
        image = read_photo(model, Path(chosen))
        name = Path(chosen).stem
    model.to(device).eval()
    with torch.no_grad():
        out = model(image.to(device), record=record(model))
    thought = Thought.from_output(image[0], out, model, truth=truth)
    return draw_thought(thought), f"thought-{name}"

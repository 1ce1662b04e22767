"""``tide show``: one picture of how a model thinks about an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from tide.cli.device import DeviceName, pick_device, set_threads
from tide.cli.parse import parse
from tide.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ShowArguments:
    """Options of the picture."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder, or folder that save_pretrained wrote."""
    image: Annotated[str, tyro.conf.Positional]
    """PNG or JPEG file of any size and mode, or the number of an image of the run's test split."""
    out: Path | None = None
    """Picture to write (default: thought-<image>.png in the current folder)."""
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
        ShowArguments, arguments, prog="tide show", description="One picture of how a model thinks about an image."
    )
    set_threads(given.threads)
    from tide.cli.models import load_with_data, read_photo
    from tide.data import to_float
    from tide.models.load import load
    from tide.plots.thought import RECORD, Thought, draw_thought

    device, truth = pick_device(given.device), None
    if given.image.isdigit() and not Path(given.image).exists():
        number = int(given.image)
        model, splits = load_with_data(given.run, given.checkpoint, directory=given.data_dir)
        if number >= len(splits.test):
            raise InputError(f"test image {number} does not exist, 0 to {len(splits.test) - 1} do; give one of them")
        image = to_float(splits.test.images[number : number + 1])
        truth = splits.test.classes[int(splits.test.labels[number])]
        name = f"{splits.name}-{number}"
    else:
        model = load(given.run, checkpoint=given.checkpoint)
        image = read_photo(model, Path(given.image))
        name = Path(given.image).stem
    model.to(device).eval()
    import torch

    with torch.no_grad():
        out = model(image.to(device), record=RECORD)
    path = given.out or Path(f"thought-{name.replace('/', '-').replace(':', '-')}.png")
    thought = Thought.from_output(image[0], out, model.config, model.cell.pairs(), truth=truth)
    figure = draw_thought(thought)
    try:
        figure.savefig(path, dpi=130)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cannot write {path}: {reason}; give a .png file with --out") from error
    print(path)
    return 0

"""``tide eval``: accuracy on a whole test split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from tide.cli.parse import parse
from tide.cli.targets import check_file
from tide.config import ImageConfig
from tide.device import DeviceName, pick_device, pick_workers, set_threads
from tide.errors import InputError


@dataclass(frozen=True, kw_only=True)
class EvalArguments:
    """Options of an evaluation."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder, or folder that save_pretrained wrote."""
    data: str | None = None
    """Data set (none: the run's): a name, hub:DIR, or folder:DIR, also of a published test set: DIR/CLASS/*,
    DIR/val/images with annotations, CORRUPTION/SEVERITY of ImageNet-C."""
    data_dir: Path | None = None
    """Folder of the data sets (none: the run's, else $TIDE_DATA, else a cache folder of the user's)."""
    checkpoint: Literal["best", "last"] = "best"
    """Which checkpoint of a run to read."""
    ticks: int | None = None
    """Ticks to think (none: as trained)."""
    batch: int = 500
    """Images per batch."""
    halt_sweep: bool = False
    """Accuracy, ticks and measured speed at thresholds of certainty, and thought up to four times as long as trained:
    a table, and JSON and a picture in the current folder or at --out."""
    workers: int | None = None
    """Processes that decode photos (none: one for each core but one, 8 at most)."""
    images: int | None = None
    """With --halt-sweep: use only the first so many test images."""
    out: Path | None = None
    """Write the numbers as JSON to this file."""
    device: DeviceName = "auto"
    """Device to compute on."""
    threads: int | None = None
    """Threads of one operation on the CPU."""


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    given = parse(
        EvalArguments,
        arguments,
        prog="tide eval",
        description="Accuracy of a run on a whole test split, at every tick.",
    )
    if given.images is not None and not given.halt_sweep:
        raise InputError("--images is for --halt-sweep: an evaluation is on the whole test split")
    if given.workers is not None and given.halt_sweep:
        raise InputError("--workers is for an evaluation: --halt-sweep decodes its images first, leave it out")
    if given.batch < 1:
        raise InputError(f"--batch is {given.batch}, 1 or more are wanted")
    check_file("--out", given.out)
    set_threads(given.threads)
    import json

    from rich.console import Console

    from tide.data import Decoding
    from tide.evaluate.answers import evaluate
    from tide.files import finite
    from tide.models.saved import local
    from tide.runs import reopen

    device = pick_device(given.device)
    model, data = reopen(given.run, checkpoint=given.checkpoint, data=given.data, data_dir=given.data_dir)
    if given.halt_sweep:
        from tide.cli.halting import run as sweep
        from tide.studies.publish import told

        return sweep(
            model.to(device),
            data,
            local(given.run).name,
            batch=given.batch,
            ticks=given.ticks,
            images=given.images,
            out=given.out,
            command=told("eval", arguments),
        )
    console = Console(stderr=True)
    decoding = Decoding(
        workers=pick_workers(given.workers), on_unreadable=lambda what: console.print(f"left out: {what}")
    )
    with console.status("evaluating") as status:
        result = evaluate(
            model.to(device),
            data.test.decoded_with(decoding),
            batch=given.batch,
            ticks=given.ticks,
            progress=lambda done, total: status.update(f"evaluating: {done} of {total} images"),
        )
    samples = "images" if isinstance(model.config.input, ImageConfig) else "samples"
    print(f"{data.name}, {result.images} test {samples}, {given.run}")
    print(f"  most certain tick   {100 * result.accuracy:6.2f} %")
    print(f"  last tick           {100 * result.accuracy_last_tick:6.2f} %")
    if result.whole_accuracy is not None:
        print(f"  whole answers       {100 * result.whole_accuracy:6.2f} % (above: of their positions)")
    print(f"  oracle tick         {100 * result.oracle_accuracy:6.2f} % (hedging {100 * result.hedging:.2f} points)")
    print(f"  mean certainty      {result.certainty:8.4f}")
    print(f"  calibration error   {result.calibration_error:8.4f}")
    if result.ei_ratio is not None:
        print(f"  E-I ratio           {result.ei_ratio:8.4f}")
    print(
        f"  certainty never falls / loss never rises over ticks: {100 * result.certainty_never_falls:.1f} % / "
        f"{100 * result.loss_never_rises:.1f} % of {samples}"
    )
    for title, values in (
        ("accuracy at each tick", result.accuracy_per_tick),
        ("whole answers right at each tick", result.whole_accuracy_per_tick or []),
        (f"{samples} answered at each tick", result.answering_ticks),
    ):
        if not values:
            continue
        print(f"  {title}, in %:")
        for first in range(0, len(values), 10):
            row = values[first : first + 10]
            print(f"    {first + 1:>3}-{first + len(row):<3} " + " ".join(f"{100 * value:6.2f}" for value in row))
    if given.out is not None:
        try:
            given.out.write_text(json.dumps(finite(result.readings()), indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot write {given.out}: {error.strerror}; give another --out") from error
    return 0

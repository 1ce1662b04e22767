"""``tide eval`` and ``tide predict``: evaluate a test split, or answer single inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from tide.cli import act
from tide.cli.options import Checkpoint, DataDir, Device, Workers
from tide.cli.parse import parse
from tide.config import ImageConfig
from tide.device import pick_device, pick_workers, set_threads
from tide.errors import InputError
from tide.files import check_file, finite, write_json, writing

if TYPE_CHECKING:
    from tide.data import LabelledSet
    from tide.evaluate.halting import HaltingSweep
    from tide.evaluate.thinking import LongerThought
    from tide.models.thinker import Thinker
    from tide.runs.reopen import NamedSplit


@dataclass(frozen=True, kw_only=True)
class EvalOptions(Checkpoint, DataDir, Device, Workers):
    """Options of an evaluation."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder, or folder that save_pretrained wrote."""
    data: str | None = None
    """Data set (none: the run's): a name, hub:DIR, or folder:DIR, also of a published test set: DIR/CLASS/*,
    DIR/val/images with annotations, CORRUPTION/SEVERITY of ImageNet-C."""
    ticks: int | None = None
    """Ticks to think (none: as trained)."""
    batch: int = 500
    """Images per batch."""
    halt_sweep: bool = False
    """Accuracy, ticks and measured speed at thresholds of certainty, and thought up to four times as long as trained:
    a table, and JSON and a picture in the current folder or at --out."""
    longer: int | None = None
    """Think this many times as long as trained: accuracy at 1, 2, 4, 10, ... times the ticks."""
    images: int | None = None
    """With --halt-sweep or --longer: use only the first so many test images."""
    out: Path | None = None
    """Write the numbers as JSON to this file, with --longer a picture beside it."""


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    if act.of_a_run(arguments):
        return act.evaluate(arguments)
    options = parse(
        EvalOptions,
        arguments,
        prog="tide eval",
        description="Accuracy of a run on a whole test split, at every tick.",
    )
    longer = options.longer is not None
    if options.images is not None and not (options.halt_sweep or longer):
        raise InputError(
            "--images must be left out without --halt-sweep or --longer; an evaluation is on the whole test split"
        )
    if options.images is not None and options.images < 1:
        raise InputError(f"--images must be at least 1, got {options.images}")
    if options.workers is not None and (options.halt_sweep or longer):
        raise InputError("--workers must be left out with --halt-sweep or --longer, which decode their images first")
    if longer and (options.halt_sweep or options.ticks is not None):
        raise InputError("--longer must stand alone; leave out --halt-sweep and --ticks")
    if options.longer is not None and options.longer < 1:
        raise InputError(f"--longer must be at least 1, got {options.longer}; 10 is ten times the trained ticks")
    if options.batch < 1:
        raise InputError(f"--batch must be at least 1, got {options.batch}")
    check_file("--out", options.out)
    set_threads(options.threads)
    from tide.models.saved import local
    from tide.runs import reopen
    from tide.studies.publish import command_line

    device = pick_device(options.device)
    model, data = reopen(options.run, checkpoint=options.checkpoint, data=options.data, data_dir=options.data_dir)
    if options.halt_sweep:
        return _sweep(model.to(device), data, local(options.run).name, options, command_line("eval", arguments))
    if options.longer is not None:
        return _longer(model.to(device), data, local(options.run).name, options, options.longer)
    return _evaluate(model.to(device), data, options)


def _longer(model: Thinker, data: NamedSplit, name: str, options: EvalOptions, factor: int) -> int:
    """Print the accuracy at multiples of the trained ticks; JSON and a picture to ``--out`` where that is set."""
    from rich.console import Console

    from tide.evaluate.thinking import think_longer
    from tide.plots.thinking import draw_longer
    from tide.studies.publish import save
    from tide.train.report import Pieces

    test = _first(data, options.images)
    with Pieces(Console(stderr=True)) as pieces:
        longer = think_longer(
            model,
            test,
            factor=factor,
            batch=options.batch,
            progress=lambda done, total: pieces("images thought about for longer", done, total),
        )
    rows = longer.multiples()
    whole = rows[0]["whole_last"] is not None
    print(f"{data.name}, {len(test)} test samples, {options.run}, trained with {longer.trained_ticks} ticks")
    print("  times  ticks  last tick  most certain" + "  whole at the last" * whole)
    for row in rows:
        line = (
            f"  {row['times']:>5}  {row['ticks']:>5}  {100 * row['last']:7.2f} %  {100 * row['most_certain']:10.2f} %"
        )
        print(line + (f"  {100 * row['whole_last']:15.2f} %" if whole else ""))
    if options.out is not None:
        with writing(options.out):
            write_json(options.out, {"run": name, "images": len(test), "rows": rows, **asdict(longer)})
            save(draw_longer({name: longer}), options.out.with_suffix(".png"))
    return 0


def _first(data: NamedSplit, images: int | None) -> LabelledSet:
    """Return the test split, or its first images."""
    import torch

    return data.test if images is None else data.test.part(torch.arange(min(images, len(data.test))))


def _evaluate(model: Thinker, data: NamedSplit, options: EvalOptions) -> int:
    """Print what the answers to all images say, and write it to ``--out`` where that is set."""
    from rich.console import Console

    from tide.data import Decoding
    from tide.evaluate.answers import evaluate
    from tide.train.report import Pieces

    console = Console(stderr=True)
    decoding = Decoding(
        workers=pick_workers(options.workers), on_unreadable=lambda what: console.print(f"left out: {what}")
    )
    with Pieces(console) as pieces:
        result = evaluate(
            model,
            data.test.decoded_with(decoding),
            batch=options.batch,
            ticks=options.ticks,
            progress=lambda done, total: pieces("images", done, total),
        )
    samples = "images" if isinstance(model.config.input, ImageConfig) else "samples"
    print(f"{data.name}, {result.images} test {samples}, {options.run}")
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
    if options.out is not None:
        with writing(options.out):
            write_json(options.out, finite(result.readings()))
    return 0


# What stopping early costs and gains, and what thinking longer does.


def _sweep(model: Thinker, data: NamedSplit, name: str, options: EvalOptions, command: str) -> int:
    """Sweep, print the table, write JSON and picture: to ``--out`` and beside it, else into the current folder."""
    from rich.console import Console

    from tide.evaluate.halting import sweep_thresholds
    from tide.evaluate.thinking import think_longer
    from tide.plots.halting import draw_halting
    from tide.studies.publish import save
    from tide.train.report import Pieces

    test = _first(data, options.images)
    with Pieces(Console(stderr=True)) as pieces:
        sweep = sweep_thresholds(
            model,
            test,
            batch=options.batch,
            ticks=options.ticks,
            progress=lambda done, total: pieces("images at all thresholds", done, total),
        )
        longer = think_longer(
            model, test, progress=lambda done, total: pieces("images thought about for longer", done, total)
        )
    path = options.out or Path(f"halting-{name}.json")
    _print_sweep(sweep, longer, data.name, len(test))
    figure = draw_halting(sweep, longer, test, f"{name}: {data.name}, {len(test)} test images")
    with writing(path):
        write_json(path, _sweep_as_json(sweep, longer, data.name, name, command))
        save(figure, path.with_suffix(".png"))
    print(f"{path}, {path.with_suffix('.png')}")
    return 0


def _print_sweep(sweep: HaltingSweep, longer: LongerThought, data: str, images: int) -> None:
    import torch

    print(f"{data}, {images} test images, {torch.get_num_threads()} threads")
    print("  threshold  accuracy  mean ticks  images/s  speed-up")
    for run in sweep.runs:
        threshold = "none" if run.threshold is None else f"{run.threshold:g}"
        print(
            f"  {threshold:>9}  {100 * run.accuracy:6.2f} %  {run.mean_ticks:10.2f}  {run.images_per_second:8.0f}  "
            f"{run.speed_up:7.2f}x"
        )
    print(
        f"  thinking {len(longer.fixed_tick)} ticks, trained with {longer.trained_ticks}: "
        f"{100 * longer.fixed_tick[-1]:.2f} % at the last, "
        f"{100 * longer.most_certain_so_far[-1]:.2f} % at the most certain"
    )


def _sweep_as_json(sweep: HaltingSweep, longer: LongerThought, data: str, name: str, command: str) -> dict[str, Any]:
    from tide.plots.halting import stopping_shares
    from tide.runs.folder import describe_environment

    classes = int(sweep.labels.max()) + 1
    return {
        "run": name,
        "data": data,
        "images": len(sweep.labels),
        "thresholds": [asdict(run) for run in sweep.runs],
        "shown_threshold": sweep.shown,
        # An answer of several positions is of no one class.
        "stopping_ticks_per_class": [[round(float(v), 4) for v in row] for row in stopping_shares(sweep, classes)]
        if sweep.labels.dim() == 1
        else None,
        "easiest": sweep.easiest(),
        "hardest": sweep.hardest(),
        "thinking_longer": asdict(longer),
        "environment": {**describe_environment(), "command": command},
    }


# Single inputs.


@dataclass(frozen=True, kw_only=True)
class PredictOptions(Checkpoint, Device):
    """Options of a prediction."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder, or folder that save_pretrained wrote."""
    images: Annotated[tuple[str, ...], tyro.conf.Positional]
    """PNG or JPEG files of any size and mode, or folders of such; for a model of sequences, 0110 or 0.3,-1.2,0.7."""
    question: str | None = None
    """For a model of questions, one about the digits on the images, named by their places: 0+1-0."""
    halt: float | None = None
    """Stop thinking about an image once the certainty reaches this value, e.g. 0.9."""


def predict(arguments: Sequence[str]) -> int:
    """Run the command: one line per image with label, certainty and ticks used."""
    options = parse(
        PredictOptions,
        arguments,
        prog="tide predict",
        description="Answer about images or sequences: label, certainty, ticks used.",
    )
    set_threads(options.threads)
    from tide.models.inputs import moved
    from tide.models.load import load
    from tide.runs.reopen import answer_text, parse_inputs

    if not options.images:
        raise InputError("no image given; name one or more PNG or JPEG files after the run")
    device = pick_device(options.device)
    model = load(options.run, checkpoint=options.checkpoint).to(device)
    asked = parse_inputs(model, options.images, options.question)
    width = max(len(name) for name, _ in asked)
    for name, inputs in asked:
        answer = model.predict(moved(inputs, device), halt=options.halt)
        label = answer_text(model, answer)
        print(f"{name:<{width}}  {label}  certainty {float(answer.certainty):.3f}  ticks {int(answer.ticks)}")
    return 0

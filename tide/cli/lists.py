"""``tide models``, ``tide data`` and ``tide presets``: what there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from tide.cli.options import DataDir
from tide.cli.parse import parse
from tide.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class NoOptions:
    """Those of a command that has none."""


def models(arguments: Sequence[str]) -> int:
    """List the trained weights that come with the library, and what is known of them."""
    parse(NoOptions, arguments, prog="tide models", description="List the trained models that come with TIDE.")
    from rich.console import Console

    from tide.models.inputs import described
    from tide.models.saved import CARD, CONFIG, PRETRAINED, WEIGHTS, Card, names, read_config, shipped

    headings = ["model", "accuracy", "on", "takes", "neurons", "ticks", "bytes"]
    listing = _table(headings, left=("model", "on", "takes", "neurons"))
    cards = {name: Card.read(shipped(name) / CARD) for name in names()}
    for name, card in cards.items():
        config = read_config(shipped(name) / CONFIG)
        listing.add_row(
            f"{PRETRAINED}{name}",
            f"{100 * card.accuracy:.2f} %",
            f"{card.images:,} {'held out' if card.whole_accuracy is None else 'drawn'}",
            described(config),
            config.core.population,
            str(config.core.ticks),
            f"{(shipped(name) / WEIGHTS).stat().st_size:,}",
        )
    Console(width=140).print(listing)
    print("\naccuracy: at the most certain tick, on images held out of training, the card says which; of a drawn task")
    print("the share of places, on samples drawn for it. What they are not good for:")
    for name, card in cards.items():
        print(f"  {name}: {card.limits}")
    print(f"\nUse one wherever a command takes a run: tide predict {PRETRAINED}mnist photo.png")
    return 0


def _table(headings: Sequence[str], left: Sequence[str]) -> Table:
    """Return a table without lines, whose columns but those on the left are numbers."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="left" if heading in left else "right")
    return table


def presets(arguments: Sequence[str]) -> int:
    """List the named configurations side by side."""
    parse(NoOptions, arguments, prog="tide presets", description="List the presets: parameters, ticks and steps.")
    from rich.console import Console
    from rich.progress import track

    from tide.analysis.costs import count_operations
    from tide.models.control_presets import CONTROL_PRESETS, control_preset
    from tide.models.inputs import described
    from tide.models.load import outline
    from tide.models.presets import PRESETS, preset

    numbers = ("ticks", "history", "ops/tick", "ops/image", "steps", "batch")
    headings = ("preset", "parameters", "neurons", *numbers, "images")
    listing = _table(headings, left=("preset", "neurons", "images"))
    # On stderr: counting takes about half a second a preset.
    shown = [name for name in PRESETS if not name.startswith("anytime")]
    for name in track(shown, "counting", console=Console(stderr=True), transient=True):
        config = preset(name)
        model = outline(config.model)
        core, operations = config.core, count_operations(model)
        listing.add_row(
            name,
            f"{sum(p.numel() for p in model.parameters()):,}",
            core.population,
            str(core.ticks),
            str(getattr(core, "history", "-")),
            f"{operations.tick / 1e6:.2f} M",
            f"{operations.image(core.ticks) / 1e6:.0f} M",
            f"{config.train.steps:,}",
            f"{config.train.batch} x {config.train.accumulation}".removesuffix(" x 1"),
            f"{described(config.model)}, {config.output.classes} classes",
        )
    for name in CONTROL_PRESETS:
        acting = control_preset(name)
        model = outline(acting.model)
        listing.add_row(
            name,
            f"{sum(p.numel() for p in model.parameters()):,}",
            acting.core.population,
            str(acting.core.ticks),
            str(getattr(acting.core, "history", "-")),
            f"{count_operations(model).tick / 1e6:.2f} M",
            "-",
            f"{acting.train.steps:,}",
            f"{acting.train.environments} x {acting.train.rollout}",
            f"{acting.task.name}, {acting.output.classes} actions",
        )
    Console(width=140).print(listing)
    print(
        "history: ticks that a neuron's own network sees; ops: matrix products and convolutions, a multiply-add counts"
    )
    print("two, per image; ops/image: backbone and all ticks. anytime.TASK, anytime-ctm.TASK and anytime-lstm.TASK are")
    print("the same networks with the objective that asks every tick.")
    return 0


@dataclass(frozen=True, kw_only=True)
class DataOptions(DataDir):
    """Options of the data commands."""

    words: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Nothing (list what is there), or: fetch NAME [NAME ...]."""


def data(arguments: Sequence[str]) -> int:
    """List the data sets found, or fetch one."""
    options = parse(DataOptions, arguments, prog="tide data", description="List the data sets found, or fetch one.")
    from tide.data import default_directory, fetch, names, status

    directory = options.data_dir or default_directory()
    if not options.words:
        print(f"data folder: {directory}")
        for name, found in status(directory):
            print(f"  {name:<14} {found if found is not None else f'not found; tide data fetch {name}'}")
        return 0
    action, *chosen = options.words
    if action not in ("fetch", "list"):
        raise InputError(f"unknown data command {action!r}{did_you_mean(action, ('fetch', 'list'))}")
    if action == "list":
        return data(["--data-dir", str(directory)])
    if not chosen:
        raise InputError(f"no data set given; name one of {', '.join(names())}")
    for name in chosen:
        print(f"{name}: {fetch(name, directory)}")
    return 0

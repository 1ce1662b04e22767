"""``tide models``: the trained weights that come with the library, and what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tide.cli.parse import parse


@dataclass(frozen=True)
class ModelsArguments:
    """No options."""


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    parse(ModelsArguments, arguments, prog="tide models", description="List the trained models that come with TIDE.")
    from rich.console import Console
    from rich.table import Table

    from tide.models.inputs import described
    from tide.models.saved import CARD, CONFIG, PRETRAINED, WEIGHTS, Card, names, read_config, shipped

    table = Table(box=None, pad_edge=False)
    for heading in ("model", "accuracy", "on", "takes", "neurons", "ticks", "bytes"):
        table.add_column(heading, justify="right" if heading in ("accuracy", "ticks", "bytes") else "left")
    cards = {name: Card.read(shipped(name) / CARD) for name in names()}
    for name, card in cards.items():
        config = read_config(shipped(name) / CONFIG)
        table.add_row(
            f"{PRETRAINED}{name}",
            f"{100 * card.accuracy:.2f} %",
            f"{card.images:,} {'held out' if card.whole_accuracy is None else 'drawn'}",
            described(config),
            config.core.population,
            str(config.core.ticks),
            f"{(shipped(name) / WEIGHTS).stat().st_size:,}",
        )
    Console(width=140).print(table)
    print("\naccuracy: at the most certain tick, on images held out of training, the card says which; of a drawn task")
    print("the share of places, on samples drawn for it. What they are not good for:")
    for name, card in cards.items():
        print(f"  {name}: {card.limits}")
    print(f"\nTake one wherever a run is wanted: tide predict {PRETRAINED}mnist photo.png")
    return 0

"""``tide presets``: the named configurations side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tide.cli.parse import parse


@dataclass(frozen=True)
class PresetsArguments:
    """No options."""


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    parse(
        PresetsArguments, arguments, prog="tide presets", description="List the presets: parameters, ticks and steps."
    )
    from rich.console import Console
    from rich.table import Table

    from tide.models.presets import PRESETS
    from tide.models.thinker import Thinker

    table = Table(box=None, pad_edge=False)
    headings = ("preset", "parameters", "E + I neurons", "ticks", "memory", "steps", "batch", "images")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("preset", "images") else "right")
    for name, make in PRESETS.items():
        config = make()
        core, images = config.core, config.input
        table.add_row(
            name,
            f"{sum(p.numel() for p in Thinker(config.model).parameters()):,}",
            f"{core.n_e} + {core.n_i}",
            str(core.ticks),
            str(core.neuron_models.memory_length),
            f"{config.train.steps:,}",
            str(config.train.batch * config.train.accumulation),
            f"{images.channels} x {images.size} x {images.size}, {images.classes} classes",
        )
    Console(width=110).print(table)
    return 0

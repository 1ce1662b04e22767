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
    from rich.progress import track
    from rich.table import Table

    from tide.analysis.costs import count_operations
    from tide.models.inputs import described
    from tide.models.load import outline
    from tide.models.presets import PRESETS, preset

    table = Table(box=None, pad_edge=False)
    headings = (
        "preset",
        "parameters",
        "neurons",
        "ticks",
        "history",
        "ops/tick",
        "ops/image",
        "steps",
        "batch",
        "images",
    )
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("preset", "neurons", "images") else "right")
    # On stderr: counting takes about half a second a preset.
    shown = [name for name in PRESETS if not name.startswith("anytime")]
    for name in track(shown, "counting", console=Console(stderr=True), transient=True):
        config = preset(name)
        model = outline(config.model)
        core, operations = config.core, count_operations(model)
        table.add_row(
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
    Console(width=140).print(table)
    print(
        "history: ticks that a neuron's own network sees; ops: matrix products and convolutions, a multiply-add counts"
    )
    print("two, per image; ops/image: backbone and all ticks. anytime.TASK, anytime-ctm.TASK and anytime-lstm.TASK are")
    print("the same networks with the objective that asks every tick.")
    return 0

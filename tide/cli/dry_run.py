"""``tide train --dry-run``: shapes, parameters, one step, memory and time."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import torch

from tide.analysis.costs import count_costs
from tide.config import Config
from tide.config.io import from_dict
from tide.data import Splits, to_float
from tide.device import available_memory, peak_memory
from tide.errors import InputError
from tide.models.inputs import described, moved
from tide.models.thinker import Thinker
from tide.train.report import format_seconds
from tide.train.step import Trainer, make_optimizer


def show(config: Config, splits: Splits, device: torch.device, *, compile_step: bool) -> None:
    """Build the model, run a few steps, print what was seen."""
    from rich.console import Console
    from rich.table import Table

    _check_memory(config, device)
    console, train = Console(), config.train
    model = Thinker(config.model).to(device)
    if compile_step:
        model.compile_step()
    some = splits.train.select(slice(train.batch))
    images, labels = to_float(moved(some.images, device)), some.labels.to(device)
    table = Table(
        title=f"{splits.name}: {len(splits.train)} training and {len(splits.test)} {config.data.measured_on} images"
    )
    for heading in ("what", "shape or number"):
        table.add_column(heading)
    with torch.no_grad():
        out = model(images, record=tuple(model.cell.observables), ticks=1)
        tokens = model.backbone(images) if isinstance(images, torch.Tensor) else None
    table.add_row(f"{config.input.kind}s", f"{train.batch} x {described(config.model)}")
    if tokens is not None:
        table.add_row("tokens", str(tuple(tokens.shape)))
    for name, value in out.trace.items():
        table.add_row(name, f"{(value.shape[0], 'T', *value.shape[2:])}".replace("'", ""))
    table.add_row("logits", f"({', '.join(map(str, out.logits.shape[:-1]))}, T = {config.core.ticks})")
    table.add_section()
    for name, members in model.components().items():
        table.add_row(f"parameters: {name}", f"{sum(p.numel() for p in members):,}")
    table.add_row("parameters: all", f"{sum(p.numel() for p in model.parameters()):,}")
    table.add_section()

    trainer = Trainer(model, make_optimizer(model, train), config)
    seconds = []
    for step in range(3):
        began = time.perf_counter()
        result = trainer.step(step, [(images, labels)] * train.accumulation)
        float(result.terms.total)  # waits for the device
        seconds.append(time.perf_counter() - began)
    fastest = min(seconds)
    table.add_row("loop over ticks", model.tick_loop().reason)
    table.add_row("loss after three steps", f"{float(result.terms.total):.4f}")
    table.add_row("first step, later steps", f"{seconds[0]:.3f} s, {fastest:.3f} s")
    peak = peak_memory(device)
    table.add_row("peak memory", "not known on this system" if math.isnan(peak) else f"{peak:,.0f} MiB")
    table.add_row("warm-up, curriculum", f"{train.warmup}, {train.curriculum_start} + {train.curriculum_length} steps")
    table.add_row(f"estimated time for {train.steps} steps", format_seconds(fastest * train.steps))
    if splits.summary:
        console.print(splits.summary)
    console.print(table)


def _check_memory(config: Config, device: torch.device) -> None:
    """Raise :class:`InputError` where a step would want more memory than there is, before it is tried.

    Counted on fake tensors at two ticks (of a list, as many as it has symbols) and at two more; every further tick
    costs the same.
    """
    core, train = config.core, config.train
    ticks = min(stretch for stretch in (core.ticks, train.tbptt, train.recompute) if stretch)  # kept at a time
    plain = replace(config, train=replace(train, tbptt=0, recompute=0))
    fewest = max(2, config.output.emitted)
    low, high = (count_costs(from_dict(Config, {"core": {"ticks": few}}, base=plain)) for few in (fewest, fewest + 2))
    wanted = low.held + low.peak + max(0, ticks - fewest) * (high.peak - low.peak) / 2
    there = available_memory(device)
    if wanted > there:
        raise InputError(
            f"a step of {core.ticks} ticks at batch {train.batch} wants about {wanted / 2**30:,.1f} GiB, "
            f"{there / 2**30:,.1f} GiB are there: lower core.ticks, train.batch or core.neurons, or set train.recompute"
        )

"""``tide train --dry-run``: shapes, parameters, one step, memory and time."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import torch

from tide.config import Config
from tide.data import AnySplits, to_float
from tide.models.thinker import Thinker
from tide.train.optim import make_optimizer
from tide.train.report import format_seconds
from tide.train.step import Trainer


def peak_memory(device: torch.device) -> float:
    """Return the most memory used so far in MiB: of the device, or on the CPU of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if (status := Path("/proc/self/status")).is_file():
        # Not ru_maxrss: a new process takes that over from the one that started it.
        lines = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines() if ":" in line)
        if "VmHWM" in lines:
            return int(lines["VmHWM"].split()[0]) / 2**10
    # Linux reports KiB, macOS bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def show(config: Config, splits: AnySplits, device: torch.device, *, compile_step: bool) -> None:
    """Build the model, run a few steps, print what was seen."""
    from rich.console import Console
    from rich.table import Table

    console, train = Console(), config.train
    model = Thinker(config.model).to(device)
    if compile_step:
        model.compile_step()
    some = splits.train.select(slice(train.batch))
    images, labels = to_float(some.images.to(device)), some.labels.to(device)
    table = Table(
        title=f"{splits.name}: {len(splits.train)} training and {len(splits.test)} {config.data.measured_on} images"
    )
    for heading in ("what", "shape or number"):
        table.add_column(heading)
    with torch.no_grad():
        tokens = model.backbone(images)
        out = model(images, record=model.cell.recordable(), ticks=1)
    table.add_row("images", str(tuple(images.shape)))
    table.add_row("tokens", str(tuple(tokens.shape)))
    for name, value in out.trace.items():
        table.add_row(name, f"{(value.shape[0], 'T', *value.shape[2:])}".replace("'", ""))
    table.add_row("logits", f"({out.logits.shape[0]}, {out.logits.shape[1]}, T = {config.core.ticks})")
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
    table.add_row("peak memory", f"{peak_memory(device):,.0f} MiB")
    table.add_row("warm-up, curriculum", f"{train.warmup}, {train.curriculum_start} + {train.curriculum_length} steps")
    table.add_row(f"estimated time for {train.steps} steps", format_seconds(fastest * train.steps))
    console.print(table)

"""Plan a training on paper: ``python benchmarks/plan.py --out benchmarks/results/plan`` writes FILE.json and FILE.md.

Every kernel of a step (forward, objective, backward) is counted without running it (:mod:`tide.analysis.costs`), for
the preset as it is and with one number changed at a time. Time on a device is the sum over its kernels of the longest
of arithmetic, memory traffic and launch, by the device's data sheet, divided by the share of the peak rates that is
reached. ``--measured FILE.json`` (of ``benchmarks/memory.py``, made on this machine) puts the same count beside what
was measured: this machine's rates are taken from a matrix product and a copy, and the share is what comes out.
"""

from __future__ import annotations

import json
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro

from tide.analysis.costs import Device, StepCosts, count_costs
from tide.config import Config
from tide.models.presets import preset
from tide.train.environment import describe_environment

GIB = 2**30
DEVICES = {
    "V100 SXM2 32 GB": Device(125e12, 15.7e12, 0.9e12, 32e9),
    "A100 SXM 80 GB": Device(312e12, 19.5e12, 2.0e12, 80e9),
    "H100 SXM 80 GB": Device(989e12, 67e12, 3.35e12, 80e9),
}
"""By NVIDIA's data sheets: 16 bits on tensor cores without sparsity, 32 bits without TF32, memory."""
LINKS = {"one node, NVLink": 100e9, "two nodes or more, 100 Gbit/s": 12.5e9}
"""Bytes a second of one process's slowest link in a ring; the first is a low value for NVLink."""
SIZE = 2048  # of the square matrices by which this machine's arithmetic is measured


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Plan a training."""

    preset: str = "imagenet"
    batch: int = 64
    """Images in a micro-batch of one process."""
    processes: int = 4
    neurons: tuple[int, ...] = (1024, 2048, 8192)
    """Other numbers of neurons; pairs and head grow with them as in the preset."""
    ticks: tuple[int, ...] = (25, 100)
    recompute: tuple[int, ...] = (5,)
    tbptt: tuple[int, ...] = (0,)
    grid: tuple[int, ...] = (7, 28)
    """Other sides of the square of token positions (deep HRF only)."""
    share: float = 0.3
    """Share of the peak rates that is reached: what ``--measured`` found for a step of 2 photos on 2 cores."""
    measured: Path | None = None
    """JSON file of ``benchmarks/memory.py``, made on this machine."""
    out: Path | None = None
    """Path without extension."""


def variants(settings: Settings) -> dict[str, Config]:
    """Return the preset and its variants, one number changed in each, by name."""
    base = preset(settings.preset, train={"batch": settings.batch})
    pairs, neurons = base.core.synchrony, base.core.neurons
    found = {f"{settings.preset}, as it is": base}
    for number in settings.neurons:
        factor = number / neurons
        synchrony = {name: int(getattr(pairs, name) * factor) for name in ("pairs_ee", "pairs_ei", "pairs_ii")}
        core = {"neurons": number, "synchrony": synchrony}
        found[f"D = {number}"] = preset(settings.preset, core=core, train={"batch": settings.batch})
    for number in settings.ticks:
        found[f"T = {number}"] = preset(settings.preset, core={"ticks": number}, train={"batch": settings.batch})
    for name in ("tbptt", "recompute"):
        for number in getattr(settings, name):
            found[f"{name} {number}"] = preset(settings.preset, train={"batch": settings.batch, name: number})
    for number in settings.grid:
        found[f"{number} x {number} positions"] = preset(
            settings.preset, backbone={"grid": number}, train={"batch": settings.batch}
        )
    return found


def describe(costs: StepCosts, config: Config, settings: Settings) -> dict[str, Any]:
    """Return the numbers of one variant: of a micro-batch, and of the whole training on every device."""
    kernels = costs.kernels
    passes = config.train.steps * config.train.accumulation / settings.processes
    row: dict[str, Any] = {
        "kernels": len(kernels),
        "gflop_half": sum(k.operations for k in kernels if k.half) / 1e9,
        "gflop_single": sum(k.operations for k in kernels if not k.half) / 1e9,
        "moved_gb": sum(k.moved for k in kernels) / 1e9,
        "held_gib": costs.held / GIB,
        "peak_gib": costs.peak / GIB,
        "devices": {},
    }
    for name, device in DEVICES.items():
        eager, graph = (device.seconds(kernels, share=settings.share, graph=graph) for graph in (False, True))
        row["devices"][name] = {
            "seconds_eager": eager,
            "seconds_graph": graph,
            "fits": costs.held + costs.peak <= device.memory,
            "days_eager": eager * passes / 86_400,
            "days_graph": graph * passes / 86_400,
        }
    return row


def ring_seconds(parameters: int, processes: int, rate: float) -> float:
    """Return the seconds in which a ring adds up float32 gradients: each process sends 2 (N - 1) / N of them."""
    return 2 * (processes - 1) / processes * 4 * parameters / rate


def this_machine() -> Device:
    """Measure this machine's arithmetic by a product of square matrices, its memory by a copy; medians of 5."""
    a = torch.randn(SIZE, SIZE)
    big = torch.randn(64 * 2**20)
    target = torch.empty_like(big)
    product, copy = (_median(work) for work in (lambda: a @ a, lambda: target.copy_(big)))
    rate = 2 * SIZE**3 / product
    return Device(rate, rate, 2 * big.numel() * 4 / copy, 0.0)


def _median(work: Callable[[], object]) -> float:
    work()
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def beside_measured(file: Path) -> dict[str, Any]:
    """Return count and measurement side by side, and the share of this machine's rates that steps reached."""
    found = json.loads(file.read_text(encoding="utf-8"))
    torch.set_num_threads(found["settings"]["threads"])
    machine, rows = this_machine(), []
    for row in found["rows"]:
        if "failed" in row:
            continue
        train = {"batch": found["batch"], "tbptt": row["tbptt"], "recompute": row["recompute"]}
        costs = count_costs(preset(found["settings"]["preset"], core={"ticks": row["ticks"]}, train=train))
        rows.append(
            {
                **row,
                # The parameters were there before.
                "counted_gib": (0.75 * costs.held + costs.peak) / GIB,
                "measured_gib": (row["peak_mib"] - row["before_mib"]) / 1024,
                "counted_seconds": machine.seconds(costs.kernels),
            }
        )
    shares = [row["counted_seconds"] / row["seconds"] for row in rows]
    return {"machine": machine._asdict(), "share": statistics.median(shares), "rows": rows, "file": file.name}


def markdown(result: dict[str, Any]) -> str:
    """Return the tables."""
    settings = result["settings"]
    lines = [
        f"Micro-batches of {settings['batch']} images, share of peak rates {settings['share']}. Days are those of all "
        f"{result['steps']:,} steps of {result['accumulation']} micro-batches, shared by {settings['processes']} "
        "devices, launched one by one / as a CUDA graph; `-`: more memory than the device has.",
        "",
        "| what | kernels | TFLOP, 16 bits | 32 bits | GB moved | held, GiB | activations, GiB | "
        + " | ".join(f"{name}, days" for name in DEVICES)
        + " |",
        "|---" * (7 + len(DEVICES)) + "|",
    ]
    for name, row in result["variants"].items():
        cells = [
            f"{row['kernels']:,}",
            f"{row['gflop_half'] / 1e3:.2f}",
            f"{row['gflop_single'] / 1e3:.2f}",
            f"{row['moved_gb']:,.0f}",
            f"{row['held_gib']:.2f}",
            f"{row['peak_gib']:.1f}",
        ]
        for device in row["devices"].values():
            days = f"{device['days_eager']:.1f} / {device['days_graph']:.1f}"
            cells.append(days if device["fits"] else f"- ({days})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Count every variant, print, write."""
    settings = tyro.cli(Settings, description=__doc__)
    base = preset(settings.preset)
    result: dict[str, Any] = {
        "settings": {name: str(v) if isinstance(v, Path) else v for name, v in vars(settings).items()},
        "steps": base.train.steps,
        "accumulation": base.train.accumulation,
        "devices": {name: device._asdict() for name, device in DEVICES.items()},
        "variants": {},
    }
    if settings.measured is not None:
        result["measured"] = beside_measured(settings.measured)
        print(json.dumps(result["measured"], indent=2), flush=True)
    for name, config in variants(settings).items():
        costs = count_costs(config)
        result["variants"][name] = describe(costs, config, settings)
        parameters = costs.held // 16
        result["variants"][name]["gradients_seconds"] = {
            link: ring_seconds(parameters, settings.processes, rate) for link, rate in LINKS.items()
        }
        print(name, {key: value for key, value in result["variants"][name].items() if key != "devices"}, flush=True)
    result["command"] = shlex.join(["python", *sys.argv])
    result["environment"] = describe_environment()
    text = markdown(result)
    print(text)
    if settings.out is not None:
        settings.out.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        settings.out.with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

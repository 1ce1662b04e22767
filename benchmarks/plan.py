"""Plan a training on paper: ``python benchmarks/plan.py --out benchmarks/results/plan`` writes plan.json and plan.md.

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
from reporting import end

from tide.analysis.costs import Device, StepCosts, count_costs
from tide.config import Config, CoreConfig
from tide.errors import InputError
from tide.models.presets import preset
from tide.runs.folder import describe_environment

GIB, DAY = 2**30, 86_400
DEVICES = {
    "V100 SXM2 32 GB": Device(125e12, 15.7e12, 0.9e12, 32e9),
    "A100 SXM 80 GB": Device(312e12, 19.5e12, 2.0e12, 80e9),
    "H100 SXM 80 GB": Device(989e12, 67e12, 3.35e12, 80e9),
}
"""By NVIDIA's data sheets: 16 bits on tensor cores without sparsity, 32 bits without TF32, memory."""
LINKS = {"NVLink": 100e9, "100 Gbit/s": 12.5e9}
"""Bytes a second of one process's slowest link in a ring, within a node and between nodes; the first is a low value."""
LAUNCHES = {"20 µs": 20e-6, "5 µs": 5e-6, "graph": 0.0}
"""Seconds between two kernels: assumed of PyTorch with its autograd, of its C++ alone, as one CUDA graph."""
SIZE = 2048  # of the square matrices by which this machine's arithmetic is measured


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Plan a training."""

    preset: str = "imagenet"
    batch: int = 64
    """Images in a micro-batch of one process."""
    processes: tuple[int, ...] = (4, 8, 16)
    """Numbers of devices; the tables of variants are for the first."""
    neurons: tuple[int, ...] = (1024, 2048, 8192)
    """Other numbers of neurons; pairs grow with them, hidden units of the head do not."""
    ticks: tuple[int, ...] = (25, 100)
    recompute: tuple[int, ...] = (5,)
    tbptt: tuple[int, ...] = (0,)
    grid: tuple[int, ...] = (7, 28)
    """Other sides of the square of token positions (deep HRF only)."""
    share: float = 0.3
    """Share of the peak rates that is reached: what ``--measured`` found for a step of 2 photos on 2 cores."""
    measured: tuple[Path, ...] = ()
    """JSON files of ``benchmarks/memory.py``, made on this machine."""
    out: Path | None = None
    """Path without extension."""


def variants(settings: Settings) -> dict[str, Config]:
    """Return the preset and its variants by name: other neurons, ticks, recomputation, truncation, positions.

    Raises :class:`InputError` for the preset of a baseline and for numbers out of range.
    """
    base = preset(settings.preset)
    if not isinstance(base.core, CoreConfig):
        raise InputError(f"preset must be one of TIDE, got {settings.preset}; leave out what stands before the dot")
    photos = base.train.batch * base.train.accumulation
    if settings.batch < 1 or photos % settings.batch or not 0 < settings.share <= 1:
        raise InputError(
            f"--batch must divide the {photos} photos of a step and --share be in (0, 1], got {settings.batch} and "
            f"{settings.share}"
        )
    train = {"batch": settings.batch, "accumulation": photos // settings.batch}
    base = preset(settings.preset, train=train)
    pairs, neurons = base.core.synchrony, base.core.neurons
    found = {f"{settings.preset}, as it is": base}
    for number in settings.neurons:
        factor = number / neurons
        synchrony = {name: int(getattr(pairs, name) * factor) for name in ("pairs_ee", "pairs_ei", "pairs_ii")}
        core = {"neurons": number, "synchrony": synchrony}
        found[f"D = {number}"] = preset(settings.preset, core=core, train=train)
    for number in settings.ticks:
        found[f"T = {number}"] = preset(settings.preset, core={"ticks": number}, train=train)
    for name in ("tbptt", "recompute"):
        for number in getattr(settings, name):
            found[f"{name} {number}"] = preset(settings.preset, train={**train, name: number})
    for number in settings.grid:
        found[f"{number} x {number} positions"] = preset(settings.preset, backbone={"grid": number}, train=train)
    return found


def describe(costs: StepCosts, config: Config, settings: Settings) -> dict[str, Any]:
    """Return the numbers of one variant: of a micro-batch, and of the whole training on every device."""
    kernels, train = costs.kernels, config.train
    row: dict[str, Any] = {
        "kernels": len(kernels),
        "gflop_half": sum(k.operations for k in kernels if k.half) / 1e9,
        "gflop_single": sum(k.operations for k in kernels if not k.half) / 1e9,
        "moved_gb": sum(k.moved for k in kernels) / 1e9,
        "parameters_gib": costs.parameters / GIB,
        "held_gib": costs.held / GIB,
        "peak_gib": costs.peak / GIB,
        "devices": {},
    }
    passes = train.steps * train.accumulation / settings.processes[0]
    for name, device in DEVICES.items():
        seconds = {
            label: device._replace(launch=launch).seconds(kernels, share=settings.share)
            for label, launch in LAUNCHES.items()
        }
        row["devices"][name] = {
            "seconds": seconds,
            "days": {label: value * passes / DAY for label, value in seconds.items()},
            "fits": costs.held + costs.peak <= device.memory,
        }
    return row


def growth(row: dict[str, Any], config: Config, settings: Settings) -> list[dict[str, Any]]:
    """Return step, days and share of communication over devices and links, kernels launched as by PyTorch."""
    train, label, rows = config.train, next(iter(LAUNCHES)), []
    for processes in settings.processes:
        if train.accumulation % processes:
            continue
        for link, rate in LINKS.items():
            ring = ring_seconds(row["parameters_gib"] * GIB, processes, rate)
            for name, device in row["devices"].items():
                step = device["seconds"][label] * train.accumulation / processes + ring
                days = step * train.steps / DAY
                rows.append(
                    {"processes": processes, "link": link, "device": name, "step_seconds": step, "days": days}
                    | {"communication": ring / step}
                )
    return rows


def ring_seconds(size: float, processes: int, rate: float) -> float:
    """Return the seconds in which a ring adds up gradients of so many bytes: each sends 2 (N - 1) / N of them."""
    return 2 * (processes - 1) / processes * size / rate


def this_machine() -> Device:
    """Measure this machine's arithmetic by a product of square matrices, its memory by a copy; medians of 5."""
    a = torch.randn(SIZE, SIZE)
    big = torch.randn(64 * 2**20)
    target = torch.empty_like(big)
    product, copy = (_median(work) for work in (lambda: a @ a, lambda: target.copy_(big)))
    rate = 2 * SIZE**3 / product
    return Device(rate, rate, 2 * big.numel() * 4 / copy, 0.0, next(iter(LAUNCHES.values())))


def _median(work: Callable[[], object]) -> float:
    work()
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def beside_measured(file: Path, machine: Device) -> dict[str, Any]:
    """Return count and measurement side by side, and the share of this machine's rates that steps reached."""
    found = json.loads(file.read_text(encoding="utf-8"))
    rows = []
    for row in found["rows"]:
        if "failed" in row:
            continue
        train = {"batch": found["batch"], "accumulation": 1, "tbptt": row["tbptt"], "recompute": row["recompute"]}
        costs = count_costs(preset(found["settings"]["preset"], core={"ticks": row["ticks"]}, train=train))
        rows.append(
            {
                **row,
                # The parameters were there before.
                "counted_gib": (costs.held - costs.parameters + costs.peak) / GIB,
                "measured_gib": (row["peak_mib"] - row["before_mib"]) / 1024,
                "counted_seconds": machine.seconds(costs.kernels),
            }
        )
    shares = [row["counted_seconds"] / row["seconds"] for row in rows]
    return {"share": statistics.median(shares), "rows": rows}


def markdown(result: dict[str, Any]) -> str:
    """Return the tables."""
    settings = result["settings"]
    lines = [
        f"Micro-batches of {settings['batch']} images, share of peak rates {settings['share']}. Days are those of all "
        f"{result['steps']:,} steps of {result['accumulation']} micro-batches, shared by {settings['processes'][0]} "
        f"devices; time between kernels {' / '.join(LAUNCHES)}. In brackets: more memory than the device has.",
        "",
        "| what | kernels | TFLOP, 16 bits | 32 bits | GB moved | held, GiB | made, GiB | "
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
            days = " / ".join(f"{value:.1f}" for value in device["days"].values())
            cells.append(days if device["fits"] else f"({days})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    columns = [f"{device}, {link}" for link in LINKS for device in DEVICES]
    lines += ["", f"| devices | {' | '.join(columns)} |", "|---" * (1 + len(columns)) + "|"]
    for processes in dict.fromkeys(row["processes"] for row in result["growth"]):
        rows = [row for row in result["growth"] if row["processes"] == processes]
        cells = [f"{row['days']:.1f} days, {100 * row['communication']:.1f} %" for row in rows]
        lines.append(f"| {processes} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def plan(settings: Settings) -> dict[str, Any]:
    """Count and measure everything."""
    chosen = variants(settings)
    base = next(iter(chosen.values()))
    if settings.out is not None:
        settings.out.parent.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {
        "settings": {name: v for name, v in vars(settings).items() if name not in ("out", "measured")},
        "steps": base.train.steps,
        "accumulation": base.train.accumulation,
        "devices": {name: device._asdict() for name, device in DEVICES.items()},
        "variants": {},
    }
    if settings.measured:
        machine = this_machine()
        result["machine"] = machine._asdict()
        result["measured"] = {file.stem: beside_measured(file, machine) for file in settings.measured}
        print(json.dumps(result["measured"], indent=2), flush=True)
    for name, config in chosen.items():
        result["variants"][name] = row = describe(count_costs(config), config, settings)
        print(name, {key: value for key, value in row.items() if key != "devices"}, flush=True)
    result["growth"] = growth(next(iter(result["variants"].values())), base, settings)
    result["command"] = shlex.join(["python", *sys.argv])
    result["environment"] = describe_environment()
    return result


def main() -> None:
    """Count every variant, print, write."""
    settings = tyro.cli(Settings, description=__doc__)
    try:
        result = plan(settings)
    except InputError as error:
        end("plan", error)
    text = markdown(result)
    print(text)
    if settings.out is not None:
        settings.out.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        settings.out.with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

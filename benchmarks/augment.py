"""Images per second through crop, flip and conversion to float: ``python benchmarks/augment.py --out FILE.json``."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch

from tide.data import augment, to_float
from tide.runs.folder import describe_environment

CASES = ((1, 28, 2, 64), (1, 28, 2, 256), (3, 32, 4, 64), (3, 32, 4, 256))  # channels, size, padding, batch
BATCHES, ROUNDS = 50, 9


def images_per_second(channels: int, size: int, padding: int, batch: int) -> dict[str, float]:
    """Return the median, least and greatest rate over rounds of ``BATCHES`` batches each."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (batch, channels, size, size), generator=generator, dtype=torch.uint8)
    rates = []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        for _ in range(BATCHES):
            to_float(augment(images, pad=padding, flip=True, generator=generator))
        rates.append(batch * BATCHES / (time.perf_counter() - began))
    rates = rates[1:]  # the first round warms up
    return {"median": statistics.median(rates), "minimum": min(rates), "maximum": max(rates)}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    results = {}
    for channels, size, padding, batch in CASES:
        name = f"{batch} x {channels} x {size} x {size}, padding {padding}"
        results[name] = images_per_second(channels, size, padding, batch)
        print(f"{name:<32} {results[name]['median']:>10,.0f} images/s (minimum {results[name]['minimum']:,.0f})")
    if given.out is not None:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        numbers = {**describe_environment(), "command": "python benchmarks/augment.py", "images_per_second": results}
        given.out.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

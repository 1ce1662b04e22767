"""Images corrupted per second: ``python benchmarks/corruptions.py --out FILE.json``."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from tide.corruptions import CORRUPTIONS, EXTRA, MNIST_C, SEVERITIES, corrupt
from tide.runs.folder import describe_environment

CASES = ((3, 32, 512), (1, 28, 512), (3, 64, 128), (3, 224, 16))  # channels, size, images
ROUNDS = 5
WANTED = {32: 3000, 224: 40}  # images a second on average over the 15, on two cores


def make_images(channels: int, size: int, count: int) -> Tensor:
    """Smooth random scenes with some noise: neither flat nor pure noise, as JPEG and the tables of noise mind."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand((count, channels, 6, 6), generator=generator)
    scenes = functional.interpolate(coarse, size=(size, size), mode="bilinear")
    noise = 0.05 * torch.randn(scenes.shape, generator=generator)
    return ((scenes + noise).clamp(0, 1) * 255).to(torch.uint8)


def seconds_per_image(images: Tensor, name: str, rounds: int) -> float:
    """Return the median over rounds of the mean over the severities."""
    for severity in SEVERITIES:
        corrupt(images, name, severity, seed=0)  # tables and sheets of frost are made once
    times = []
    for number in range(rounds):
        began = time.perf_counter()
        for severity in SEVERITIES:
            corrupt(images, name, severity, seed=number)
        times.append((time.perf_counter() - began) / (len(SEVERITIES) * len(images)))
    return statistics.median(times)


def measure(channels: int, size: int, count: int, rounds: int) -> dict[str, float]:
    """Return images per second of each corruption and of all of the 15, each taking its share of the images."""
    images = make_images(channels, size, count)
    times = {name: seconds_per_image(images, name, rounds) for name in (*CORRUPTIONS, *EXTRA, *MNIST_C)}
    mean = statistics.fmean(times[name] for name in CORRUPTIONS)
    return {"the 15 together": 1 / mean} | {name: 1 / seconds for name, seconds in times.items()}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sizes", type=int, nargs="+", default=[size for _, size, _ in CASES])
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    cases = [case for case in CASES if case[1] in given.sizes]
    results = {
        f"{channels} x {size} x {size}": measure(channels, size, count, given.rounds) for channels, size, count in cases
    }
    print(f"{'images per second':<20}" + "".join(f"{case:>15}" for case in results))
    for name in next(iter(results.values())):
        print(f"{name:<20}" + "".join(f"{rates[name]:>15,.0f}" for rates in results.values()))
    for size, wanted in WANTED.items():
        for case in (case for case in results if case == f"3 x {size} x {size}"):
            print(f"{case}: {results[case]['the 15 together']:,.0f} images a second, {wanted:,} wanted")
    if given.out is not None:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        settings = {"rounds": given.rounds, "threads": given.threads, "images": {str(size): n for _, size, n in cases}}
        numbers = {
            **describe_environment(),
            "command": "python benchmarks/corruptions.py",
            "settings": settings,
            "images_per_second": results,
        }
        given.out.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Photos per second, in test and in training order: ``python benchmarks/photos.py --out FILE.json``.

Without ``--dir`` the photos are made: 500 x 375 pixels with detail at every scale, about as large as those of ImageNet.
A rate counts from the first request to the last batch, with the start of the workers; it is the median of the rounds.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tide.data import Decoding, PhotoSet, batch_indices, derive_seed, open_photos
from tide.data.folders import scan_classes
from tide.data.photos import MiddleSquare
from tide.runs.folder import describe_environment

WIDTH, HEIGHT, QUALITY = 500, 375, 90
ORDERS = ("training", "test")


def make_photo(path: Path, seed: int) -> None:
    """Write a photo of noise at all scales, a little weaker at each finer one, as large a file as ImageNet has."""
    random = np.random.default_rng(seed)
    pixels = np.full((HEIGHT, WIDTH, 3), 128.0, dtype=np.float32)
    for octave in range(9):
        shape = (HEIGHT * 2**octave // 256 + 2, WIDTH * 2**octave // 256 + 2)
        for channel in range(3):
            noise = Image.fromarray(random.normal(0, 60 / 1.15**octave, shape).astype(np.float32))
            pixels[..., channel] += np.asarray(noise.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, "JPEG", quality=QUALITY)


def make_photos(folder: Path, count: int) -> PhotoSet:
    """Make ``count`` photos of one class in a folder."""
    (folder / "class").mkdir()
    for number in range(count):
        make_photo(folder / "class" / f"{number}.jpg", number)
    return PhotoSet.of_files(scan_classes(folder), ("class",), 1, 3, MiddleSquare())


def photos_per_second(photos: PhotoSet, order: str, workers: int, count: int, batch: int) -> float:
    """Return the rate at which ``count`` photos come in batches."""
    began = time.perf_counter()
    decoded = photos.decoded_with(Decoding(workers=workers))
    if order == "training":
        steps = range(-(-count // batch))
        batches = decoded.crops((batch_indices(len(photos), batch, step, 0), derive_seed(0, step)) for step in steps)
    else:
        batches = decoded.batches(batch, positions=torch.arange(count) % len(photos))
    done = sum(len(part.images) for part in batches)
    return done / (time.perf_counter() - began)


def measure(photos: PhotoSet, given: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Return the rates of all orders for each number of workers."""
    results = {}
    for order in ORDERS:
        for workers in given.workers:
            rates = [photos_per_second(photos, order, workers, given.photos, given.batch) for _ in range(given.rounds)]
            results[f"{order} order, {workers} workers"] = {
                "median": statistics.median(rates),
                "minimum": min(rates),
                "maximum": max(rates),
                "median_per_core": statistics.median(rates) / max(1, workers),
            }
    return results


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--dir", type=Path, help="a folder with train/CLASS/ and val/CLASS/ instead of made photos")
    parser.add_argument("--photos", type=int, default=512, help="photos in a round")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)  # as in the workers
    with tempfile.TemporaryDirectory() as folder:
        if given.dir is not None:
            found = open_photos(f"folder:{given.dir}", size=given.size, channels=3).train
        else:
            found = make_photos(Path(folder), min(given.photos, 128))
        photos = PhotoSet(found.source, found.labels, found.classes, given.size, 3)
        size_of = [Path(photos.source.name(position)).stat().st_size for position in range(min(len(photos), 1000))]
        results = measure(photos, given)
    print(f"{given.size} x {given.size} out of files of {statistics.mean(size_of) / 1000:,.0f} kB")
    for name, rates in results.items():
        print(f"{name:<28} {rates['median']:>8,.1f} photos/s, {rates['median_per_core']:>8,.1f} per core")
    if given.out is not None:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(given).items()}
        numbers = {
            **describe_environment(),
            "command": shlex.join(["python", *sys.argv]),
            "settings": settings,
            "mean_bytes": statistics.mean(size_of),
            "photos_per_second": results,
        }
        given.out.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

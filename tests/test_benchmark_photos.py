"""The benchmark of loading photos makes photos with detail, counts all of them and writes what it prints."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from tests.scripts import load_benchmark


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    return load_benchmark("photos")


def test_made_photos_are_as_large_as_those_of_imagenet_and_differ(benchmark, tmp_path):
    for number in (0, 1):
        benchmark.make_photo(tmp_path / f"{number}.jpg", number)
    first, second = (np.asarray(Image.open(tmp_path / f"{number}.jpg"), dtype=float) for number in (0, 1))
    assert first.shape == second.shape == (375, 500, 3)
    assert 60_000 < (tmp_path / "0.jpg").stat().st_size < 200_000
    assert np.abs(first - second).mean() > 20
    assert np.abs(np.diff(first, axis=1)).mean() > 1  # detail of single pixels, not only blobs


def test_measures_every_photo_in_every_order(benchmark, tmp_path, monkeypatch, capsys):
    out = tmp_path / "new" / "rates.json"
    options = ["--photos", "5", "--batch", "2", "--size", "8", "--workers", "0", "1", "--rounds", "1"]
    monkeypatch.setattr(sys, "argv", ["benchmarks/photos.py", *options, "--out", str(out)])
    benchmark.main()
    numbers = json.loads(out.read_text())
    names = [f"{order} order, {workers} workers" for order in ("training", "test") for workers in (0, 1)]
    assert list(numbers["photos_per_second"]) == names
    assert all(rates["median_per_core"] > 0 for rates in numbers["photos_per_second"].values())
    assert numbers["settings"]["size"] == 8
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)

"""Benchmarks: the small ones run, and say what they measured."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from tests.scripts import load_benchmark
from tide.corruptions import CORRUPTIONS, EXTRA, MNIST_C


def test_measures_every_corruption(tmp_path, monkeypatch, capsys):
    benchmark = load_benchmark("corruptions")
    monkeypatch.setattr(benchmark, "CASES", ((3, 32, 4), (1, 28, 4)))
    out = tmp_path / "new" / "rates.json"
    options = ["--rounds", "1", "--threads", "1", "--sizes", "28", "32", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["benchmarks/corruptions.py", *options])
    benchmark.main()
    numbers = json.loads(out.read_text())
    assert list(numbers["images_per_second"]) == ["3 x 32 x 32", "1 x 28 x 28"]
    for rates in numbers["images_per_second"].values():
        assert list(rates) == ["the 15 together", *CORRUPTIONS, *EXTRA, *MNIST_C]
        assert 1 / rates["the 15 together"] * 15 - sum(1 / rates[name] for name in CORRUPTIONS) < 1e-9
    printed = capsys.readouterr().out
    assert "elastic_transform" in printed
    assert "3,000 wanted" in printed


def test_a_combination_is_measured_and_a_failure_is_written_down(monkeypatch, tmp_path):
    out = tmp_path / "new" / "memory.json"
    options = ["--preset", "imagenet.tiny", "--batch", "2", "--ticks", "1", "-1", "--recompute", "0", "--threads", "1"]
    monkeypatch.setattr("sys.argv", ["benchmarks/memory.py", *options, "--out", str(out)])
    load_benchmark("memory").main()
    measured, failed = json.loads(out.read_text())["rows"]
    assert measured["peak_mib"] > measured["before_mib"] > 50
    assert measured["seconds"] > 0
    assert failed["failed"].startswith("exit 1: ")
    assert "core.ticks" in failed["failed"]


def test_a_process_that_takes_too_long_is_given_up():
    found = load_benchmark("memory").run([sys.executable, "-c", "import time; time.sleep(60)"], 0.2)
    assert found == {"failed": "no answer in 0.2 s"}


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

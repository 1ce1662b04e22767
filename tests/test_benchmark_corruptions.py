"""The benchmark of the corruptions measures every one of them and writes what it prints."""

from __future__ import annotations

import json
import sys

from tests.scripts import load_benchmark
from tide.corruptions import CORRUPTIONS, EXTRA


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
        assert list(rates) == ["the 15 together", *CORRUPTIONS, *EXTRA]
        assert 1 / rates["the 15 together"] * 15 - sum(1 / rates[name] for name in CORRUPTIONS) < 1e-9
    printed = capsys.readouterr().out
    assert "elastic_transform" in printed
    assert "3,000 wanted" in printed

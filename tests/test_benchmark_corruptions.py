"""The benchmark of the corruptions measures every one of them and writes what it prints."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

from tide.corruptions import CORRUPTIONS, EXTRA

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "corruptions.py"


def test_measures_every_corruption(tmp_path, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("benchmark_corruptions", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    monkeypatch.setattr(benchmark, "CASES", ((3, 32, 4), (1, 28, 4)))
    out = tmp_path / "new" / "rates.json"
    options = ["--rounds", "1", "--threads", "1", "--sizes", "28", "32", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *options])
    benchmark.main()
    numbers = json.loads(out.read_text())
    assert list(numbers["images_per_second"]) == ["3 x 32 x 32", "1 x 28 x 28"]
    for rates in numbers["images_per_second"].values():
        assert list(rates) == ["the 15 together", *CORRUPTIONS, *EXTRA]
        assert 1 / rates["the 15 together"] * 15 - sum(1 / rates[name] for name in CORRUPTIONS) < 1e-9
    printed = capsys.readouterr().out
    assert "elastic_transform" in printed
    assert "3,000 wanted" in printed

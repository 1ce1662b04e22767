"""The benchmark of memory measures each combination in a process of its own, and goes on after one that fails."""

from __future__ import annotations

import json
import sys

from tests.scripts import load_benchmark


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

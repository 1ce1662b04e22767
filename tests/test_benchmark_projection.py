"""The benchmark of the projection measures every guarantee, and a share is that of the step."""

from __future__ import annotations

import json

import pytest

from tests.scripts import load_benchmark


def test_a_guarantee_s_projection_is_a_part_of_its_step(monkeypatch, tmp_path):
    out = tmp_path / "new" / "projection.json"
    options = ["--preset", "digits", "--steps", "1", "--threads", "1", "--out", str(out)]
    monkeypatch.setattr("sys.argv", ["benchmarks/projection.py", *options])
    load_benchmark("projection").main()
    found = json.loads(out.read_text())["guarantees"]
    assert list(found) == ["none", "contraction", "lds"]
    for row in found.values():
        assert 0 < row["projection_seconds"] < row["step_seconds"]
        assert row["share"] == pytest.approx(row["projection_seconds"] / row["step_seconds"])

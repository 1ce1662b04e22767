"""The plan on paper: one number changed at a time, days from seconds, count beside measurement."""

from __future__ import annotations

import json

import pytest

from tests.scripts import load_benchmark
from tide.models.presets import preset

OPTIONS = ["--preset", "imagenet.tiny", "--batch", "2", "--neurons", "64", "--ticks", "4"]
OPTIONS += ["--processes", "2", "--recompute", "4", "--tbptt", "0", "--grid", "3"]


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan")
    row = {"ticks": 4, "tbptt": 0, "recompute": 0, "before_mib": 300.0, "peak_mib": 400.0, "seconds": 0.5}
    measured = {"settings": {"preset": "imagenet.tiny", "threads": 1}, "batch": 2, "rows": [row, {"failed": 1}]}
    (folder / "memory.json").write_text(json.dumps(measured))
    with pytest.MonkeyPatch.context() as patch:
        options = [*OPTIONS, "--measured", str(folder / "memory.json"), "--out", str(folder / "plan")]
        patch.setattr("sys.argv", ["benchmarks/plan.py", *options])
        load_benchmark("plan").main()
    return json.loads((folder / "plan.json").read_text()), (folder / "plan.md").read_text()


def test_variants_change_one_number_each(plan):
    result, text = plan
    names = ["imagenet.tiny, as it is", "D = 64", "T = 4", "tbptt 0", "recompute 4", "3 x 3 positions"]
    assert list(result["variants"]) == names
    assert all(f"| {name} |" in text for name in names)
    base, neurons, ticks, *_ = result["variants"].values()
    assert neurons["held_gib"] < base["held_gib"] == ticks["held_gib"]
    assert ticks["gflop_single"] < base["gflop_single"]


def test_days_are_seconds_of_all_micro_batches(plan):
    train = preset("imagenet.tiny").train
    row = plan[0]["variants"]["imagenet.tiny, as it is"]["devices"]["V100 SXM2 32 GB"]
    assert row["days_eager"] == pytest.approx(row["seconds_eager"] * train.accumulation / 2 * train.steps / 86_400)
    assert row["seconds_graph"] < row["seconds_eager"]
    assert row["fits"]


def test_the_measured_row_is_counted_with_this_machine_s_rates(plan):
    found = plan[0]["measured"]
    (row,) = found["rows"]
    assert row["measured_gib"] == pytest.approx(100 / 1024)
    assert found["share"] == pytest.approx(row["counted_seconds"] / 0.5)
    assert 1e9 < found["machine"]["single"] < 1e13
    assert 1e8 < found["machine"]["bandwidth"] < 1e12


def test_a_ring_of_two_sends_every_gradient_once():
    assert load_benchmark("plan").ring_seconds(1_000, 2, 4_000.0) == pytest.approx(1.0)

"""The plan on paper: one number changed at a time, days from seconds, count beside measurement."""

from __future__ import annotations

import json

import pytest

from tests.scripts import load_benchmark
from tide.analysis.costs import count_costs
from tide.models.presets import preset

OPTIONS = ["--preset", "imagenet.tiny", "--batch", "2", "--neurons", "64", "--ticks", "4"]
OPTIONS += ["--processes", "2", "4", "3", "--recompute", "4", "--tbptt", "0", "--grid", "3"]


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan")
    row = {"ticks": 4, "tbptt": 0, "recompute": 0, "before_mib": 300.0, "peak_mib": 400.0, "seconds": 0.5}
    measured = {"settings": {"preset": "imagenet.tiny", "threads": 1}, "batch": 2, "rows": [row, {"failed": 1}]}
    (folder / "memory.json").write_text(json.dumps(measured))
    with pytest.MonkeyPatch.context() as patch:
        options = [*OPTIONS, "--measured", str(folder / "memory.json"), "--out", str(folder / "plan")]
        patch.setattr("sys.argv", ["benchmarks/plan.py", *options])
        benchmark = load_benchmark("plan")
        patch.setattr(benchmark, "SIZE", 256)
        benchmark.main()
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
    result, text = plan
    # 8 x 2 photos a step in micro-batches of 2, on two devices
    passes = preset("imagenet.tiny").train.steps * 8 / 2
    row = result["variants"]["imagenet.tiny, as it is"]["devices"]["V100 SXM2 32 GB"]
    assert row["days"] == pytest.approx({label: value * passes / 86_400 for label, value in row["seconds"].items()})
    assert row["seconds"]["graph"] < row["seconds"]["5 µs"] < row["seconds"]["20 µs"]
    assert row["fits"]
    assert "(" not in text.splitlines()[4]


def test_more_devices_are_sooner_and_talk_more(plan):
    rows = [row for row in plan[0]["growth"] if row["link"] == "NVLink" and row["device"].startswith("A100")]
    assert [row["processes"] for row in rows] == [2, 4]
    assert rows[1]["step_seconds"] < rows[0]["step_seconds"]
    assert rows[1]["communication"] > rows[0]["communication"] > 0
    parameters = plan[0]["variants"]["imagenet.tiny, as it is"]["parameters_gib"] * 2**30
    assert rows[0]["communication"] * rows[0]["step_seconds"] == pytest.approx(parameters / 100e9)


def test_the_measured_row_is_counted_with_this_machine_s_rates(plan):
    found = plan[0]["measured"]["memory"]
    (row,) = found["rows"]
    assert row["measured_gib"] == pytest.approx(100 / 1024)
    train = {"batch": 2, "accumulation": 1, "tbptt": 0}
    costs = count_costs(preset("imagenet.tiny", core={"ticks": 4}, train=train))
    assert row["counted_gib"] == pytest.approx((2 * costs.parameters + costs.peak) / 2**30)
    assert found["share"] == pytest.approx(row["counted_seconds"] / 0.5)
    assert 1e9 < plan[0]["machine"]["single"] < 1e13
    assert 1e8 < plan[0]["machine"]["bandwidth"] < 1e12


def test_a_ring_of_two_sends_every_gradient_once():
    assert load_benchmark("plan").ring_seconds(4_000, 2, 4_000.0) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--preset", "ctm.imagenet.tiny"], "preset must be one of TIDE, got ctm.imagenet.tiny"),
        (["--preset", "imagenet.tiny", "--batch", "3"], "--batch must divide the 16 photos"),
    ],
)
def test_bad_input_is_one_line(options, said, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["benchmarks/plan.py", *options])
    with pytest.raises(SystemExit, match="2"):
        load_benchmark("plan").main()
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line

"""The benchmark of the native loop reports every ratio that it promises."""

from __future__ import annotations

from tests.scripts import load_benchmark


def test_every_part_is_timed_on_both_loops(native):
    benchmark = load_benchmark("native")
    result = benchmark.measure(
        benchmark.Settings(task="digits", ticks=(2,), threads=(1,), rounds=1, batch=2, inference=(3,))
    )
    (found,) = result["results"]
    assert set(found["step"]) == {"eager", "native", "eager / native"}
    assert {"eager / native", "ctm / native", "ctm / eager"} < set(found["recurrent"])
    answers = found["inference"]["3"]
    assert 0 <= answers["skipped"] < 1
    for loop in ("eager", "native"):
        assert answers[f"{loop}, images per second"]["halting"] > 0
    assert "optimised loop with an eager one" in result["note"]

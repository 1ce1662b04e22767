"""Running trials: what is not even started."""

from __future__ import annotations

from pathlib import Path

import pytest

from tide.errors import DataError
from tide.models.presets import preset
from tide.runs.folder import RunFolder
from tide.studies.runner import ALIKE, Trial, TrialRunner, last_timing, make_runner


def test_after_two_failures_for_one_reason_no_run_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = {"a": "photos/train is missing", "b": "damaged", "c": "photos/train is missing"}

    def state(trial: Trial, out: Path) -> None:
        raise DataError(reasons[trial.name])

    monkeypatch.setattr(Trial, "state", state)
    told: list[str] = []
    runner = TrialRunner(tmp_path, jobs=2, threads=1, report=told.append)
    outcome = runner.run([Trial(name, preset("digits")) for name in "abcde"])
    assert outcome.failed == reasons | {"d": ALIKE, "e": ALIKE}
    assert not outcome.done
    assert len(told) == 3


@pytest.mark.parametrize(
    ("jobs", "threads", "expected"), [(None, None, (8, 1)), (None, 4, (2, 4)), (2, None, (2, 4)), (3, 1, (3, 1))]
)
def test_runs_and_their_threads_share_the_cores(monkeypatch: pytest.MonkeyPatch, jobs, threads, expected) -> None:
    monkeypatch.setattr("tide.studies.runner.available_cores", lambda: 8)
    runner = make_runner(Path("study"), jobs, "cpu", threads=threads)
    assert (runner.jobs, runner.threads) == expected


def test_the_rate_shown_is_that_of_the_last_readings(tmp_path: Path) -> None:
    """A night beside other work does not count: what is left is told by how fast the run is now."""
    run = RunFolder.create(tmp_path / "run", preset("digits"))
    assert last_timing(run.path) == (0, 0.0)
    for step in range(1, 101):
        rate = 0.5 if step <= 80 else 4.0
        run.append("timing", {"step": step, "seconds": float(step), "steps_per_second": rate})
    assert last_timing(run.path) == (100, 4.0)
    run.append("timing", {"step": 100, "seconds": 100.0})  # of a probe
    assert last_timing(run.path) == (100, 4.0)

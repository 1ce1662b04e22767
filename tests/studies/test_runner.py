"""Running trials: what is not even started."""

from __future__ import annotations

from pathlib import Path

import pytest

from tide.errors import DataError
from tide.models.presets import preset
from tide.studies.runner import ALIKE, TrialRunner
from tide.studies.trials import Trial


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

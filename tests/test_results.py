"""Published results are measured again: one small comparison, model by model, from the committed settings."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tide.data import load
from tide.runs.folder import RunFolder
from tide.studies.comparison import comparison_trials, task_config
from tide.train.report import SilentReporter
from tide.train.supervised import fit_to_data, supervised_run

COMMITTED = Path(__file__).parents[1] / "results" / "compare-digits" / "comparison.json"
TOLERANCE = 0.03  # another processor rounds otherwise, and over a hundred steps that grows


def test_the_comparison_on_digits_is_what_a_new_run_gives(tmp_path: Path) -> None:
    model = "tide"  # the baselines' rows come from the same command
    published = json.loads(COMMITTED.read_text(encoding="utf-8"))
    (trial,) = comparison_trials(task_config("digits", {}), (model,), (42,), published["steps"])
    splits = load("digits")
    # Probes leave the training as it is, and would take most of the time.
    config = fit_to_data(replace(trial.config, train=replace(trial.config.train, probe_every=0)), splits)
    run = supervised_run(config, splits, RunFolder.create(tmp_path / "run", config), SilentReporter(published["steps"]))
    run.fit()
    assert published["test_images"] == len(splits.test)
    expected = published["runs"][f"{model}-42"]["last_accuracy"]
    assert run.progress.last == pytest.approx(expected, abs=TOLERANCE)

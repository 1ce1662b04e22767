"""What is read from a run folder is checked before it is used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.test_general_shape import train
from tide.errors import CheckpointError
from tide.models.presets import preset
from tide.plots.training import draw_training
from tide.runs.folder import SECTIONS, RunFacts, RunFolder
from tide.train.supervised import resolved


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run of one step."""
    small = {"neurons": 10, "ticks": 2, "synchrony": {"pairs_ee": 4, "pairs_ei": 2, "pairs_ii": 1}}
    config = preset("digits", core=small, train={"steps": 1, "batch": 2, "eval_every": 1, "log_every": 1})
    train(resolved(config), tmp_path / "run")
    return RunFolder.open(tmp_path / "run")


def test_what_is_missing_or_of_another_type_is_named_in_one_line(run: RunFolder) -> None:
    log, whole = run.path / "metrics.jsonl", (run.path / "metrics.jsonl").read_text()
    (evaluation,) = run.metrics("evaluation")
    for name, value, told in (
        ("step", "1", r"metrics\.jsonl cannot be read \(step must be a number, got '1'\)"),
        ("accuracy", "high", r"\(accuracy must be a number, got 'high'\)"),
        ("accuracy_per_tick", None, r"metrics\.jsonl must have a value of 'accuracy_per_tick', got none"),
        ("step", None, r"metrics\.jsonl must have a value of 'step', got none"),
    ):
        changed = {key: item for key, item in (evaluation | {name: value}).items() if item is not None}
        log.write_text(whole + json.dumps(changed) + "\n")
        with pytest.raises(CheckpointError, match=told):
            draw_training(run.path)
    log.write_text(whole)
    assert RunFacts.read(run.path).last == evaluation
    (run.path / "results.json").write_text('{"complete": true}')
    with pytest.raises(CheckpointError, match=r"results\.json must have a value of 'rejected'"):
        RunFacts.read(run.path)


@pytest.mark.parametrize("section", SECTIONS)
def test_a_configuration_that_was_cut_is_no_run_on_other_data(tmp_path: Path, section: str) -> None:
    run = RunFolder.create(tmp_path, preset("digits"))
    path = run.path / "config.yaml"
    settings = yaml.safe_load(path.read_text())
    del settings[section]
    path.write_text(yaml.safe_dump(settings))
    with pytest.raises(CheckpointError, match=f"must have a section {section}, got none"):
        _ = run.config

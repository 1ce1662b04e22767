"""``tide compare``, ``tide ablate``, ``tide eval --halt-sweep`` as a user runs them, on tiny models of real digits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.train.conftest import TINY
from tide.cli.main import main
from tide.cli.studies import StudyOptions, changes_of

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with settings and a finished comparison of two models."""
    out = tmp_path_factory.mktemp("studies")
    kept = {name: TINY[name] for name in ("backbone", "core")}
    (out / "tiny.yaml").write_text(yaml.safe_dump(kept), encoding="utf-8")
    assert main(command(out, steps=4)) == 0
    return out


def command(out: Path, steps: int, models: tuple[str, ...] = ("tide", "lstm")) -> list[str]:
    options = ["--steps", str(steps), "--batch", "16", "--config", str(out / "tiny.yaml"), "--out", str(out / "study")]
    return ["compare", "digits", "--models", *models, "--seeds", "1", "--jobs", "2", "--device", "cpu", *options]


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def test_compare_trains_reports_and_does_nothing_twice(folder: Path, capsys: Capture) -> None:
    study = folder / "study"
    result = read(study / "comparison.json")
    assert result["same_batches"]
    for model in ("tide", "lstm"):
        results = read(study / f"{model}-1" / "results.json")
        assert result["models"][model]["last_accuracy"]["mean"] == results["last_accuracy"]
        assert [point["step"] for point in result["models"][model]["curve"]] == [1, 2, 3, 4]
    pair = result["pairs"]["tide and lstm"]
    assert sum(pair[name] for name in ("both", "only_first", "only_second", "none")) == pytest.approx(1)
    assert pair["both"] + pair["only_first"] == pytest.approx(result["models"]["tide"]["last_accuracy"]["mean"])
    for name in ("comparison.png", "attention.png"):
        assert (study / name).stat().st_size > 10_000
    before = [(path, path.stat().st_mtime_ns) for path in study.glob("*-1/*")]
    capsys.readouterr()
    assert main(command(folder, steps=4)) == 0
    assert [(path, path.stat().st_mtime_ns) for path, _ in before] == before
    assert "| last accuracy, % |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("core: 3", "core must be a mapping of settings, got 3"),
        ("train: {learning_rate: many}", "train.learning_rate must be of type float, got 'many' (str)"),
        ("just text", "configuration must be a mapping of settings"),
    ],
)
def test_a_file_of_settings_is_read_as_training_reads_it(text: str, met: str, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(text, encoding="utf-8")
    assert main(["compare", "digits", "--ticks", "2", "--config", str(file), "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert met in line
    file.write_text("train: {learning_rate: 1e-3}", encoding="utf-8")  # PyYAML alone reads this as text
    assert changes_of(StudyOptions(file=file, ticks=2)) == {"train": {"learning_rate": 1e-3}, "core": {"ticks": 2}}


def test_other_settings_in_the_same_folder_are_refused(folder: Path, capsys: Capture) -> None:
    assert main(command(folder, steps=6)) == 2
    error = capsys.readouterr().err
    assert "tide-1: " in error
    assert "was trained with other settings (train.steps is 4 there, 6 here" in error


def test_a_damaged_run_is_named_and_the_rest_goes_on(folder: Path, capsys: Capture) -> None:
    results = folder / "study" / "tide-1" / "results.json"
    text = results.read_text(encoding="utf-8")
    try:
        results.write_text("{", encoding="utf-8")
        assert main(command(folder, steps=4)) == 2
    finally:
        results.write_text(text, encoding="utf-8")
    error = capsys.readouterr().err
    assert f"tide: error: tide-1: {results} cannot be read" in error
    assert list(read(folder / "study" / "comparison.json")["models"]) == ["lstm"]


def test_runs_that_exist_are_compared_by_kind(folder: Path, tmp_path: Path) -> None:
    paths = [str(folder / "study" / f"{model}-1") for model in ("lstm", "tide")]
    assert main(["compare", "--runs", *paths, "--reach", "5", "--out", str(tmp_path)]) == 0
    result = read(tmp_path / "comparison.json")
    assert list(result["models"]) == ["lstm", "tide"]
    assert result["models"]["tide"]["reach"][0]["accuracy"] == 0.05


def test_an_interrupted_comparison_continues(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text((folder / "tiny.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    arguments = command(tmp_path, steps=100, models=("lstm",))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-m", "tide", *arguments], env=environment, stderr=subprocess.PIPE)
    timing = tmp_path / "study" / "lstm-1" / "timing.jsonl"
    deadline = time.monotonic() + 60
    while not (timing.is_file() and timing.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"continue with the same tide compare command" in error
    results = read(tmp_path / "study" / "lstm-1" / "results.json")
    assert 0 < results["step"] < 100
    assert not results["complete"]
    assert main(arguments) == 0
    assert read(tmp_path / "study" / "lstm-1" / "results.json")["complete"]


def test_ablate_runs_a_study_beside_its_baseline(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    options = ["--steps", "2", "--seed", "1", "--spread-seeds", "1", "2", "--batch", "16", "--jobs", "2"]
    more = ["--config", str(folder / "tiny.yaml"), "--out", str(tmp_path), "--device", "cpu"]
    assert main(["ablate", "digits", "--studies", "step", *options, *more]) == 0
    assert "| 2 |" in capsys.readouterr().out
    result = read(tmp_path / "ablation.json")
    rows = result["studies"]["step"]["rows"]
    assert [row["variant"] for row in rows] == ["1", "2"]
    assert [row["is_baseline"] for row in rows] == [True, False]
    assert result["baseline"]["seeds"] == [1, 2]
    assert (tmp_path / "ablation.png").stat().st_size > 10_000


def test_studies_are_listed(capsys: Capture) -> None:
    assert main(["ablate"]) == 0
    assert "tau-i" in capsys.readouterr().out


def test_halt_sweep_writes_numbers_and_a_picture(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "halting.json"
    path = str(folder / "study" / "tide-1")
    assert main(["eval", path, "--halt-sweep", "--images", "40", "--out", str(out), "--device", "cpu"]) == 0
    result = read(out)
    assert [row["threshold"] for row in result["thresholds"]][:2] == [None, 0.5]
    assert len(result["thinking_longer"]["fixed_tick"]) == 4 * result["thinking_longer"]["trained_ticks"]
    assert out.with_suffix(".png").stat().st_size > 10_000
    assert "mean ticks" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "met"),
    [
        ("compare", "no task given"),
        ("compare mnits", "did you mean 'mnist'?"),
        ("compare digits --models tide ctn", "did you mean 'ctm'?"),
        ("compare digits --seeds 1 1", "seeds must be different, got 1 twice"),
        ("compare digits --jobs 0", "--jobs must be at least 1, got 0"),
        ("compare digits --config missing.yaml", "cannot read configuration missing.yaml"),
        ("compare --runs nowhere", "nowhere is not a run folder"),
        ("compare digits --runs nowhere", "the task must be left out with --runs, got digits"),
        ("ablate mnits", "did you mean 'mnist'?"),
        ("ablate digits --studies tau", "did you mean 'tau-"),
        ("ablate digits --steps 0", "--steps must be at least 1, got 0"),
        ("ablate digits --rounds -1", "--rounds must be at least 0"),
        ("ablate digits --spread-seeds 3 3", "seeds must be different, got 3 twice"),
    ],
)
def test_bad_input_gives_one_line(
    words: str, met: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("tide: error: ")
    assert met in line
    assert list(tmp_path.iterdir()) == []

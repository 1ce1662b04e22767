"""``tide stability`` on a tiny run: report, certificate, verification, and that it claims no more than it proves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from tests.train.conftest import TINY
from tide.cli.main import main

Capture = pytest.CaptureFixture[str]


def train(out: Path, **core: object) -> Path:
    settings = {**TINY, "core": {**TINY["core"], **core}, "train": {**TINY["train"], "steps": 2}}
    file = out.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    assert main(["train", "digits", "--config", str(file), "--out", str(out), "--device", "cpu"]) == 0
    return out


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An unguarded run and one with guarantee contraction, both analysed."""
    folder = tmp_path_factory.mktemp("stability")
    feedback = {"memory_length": 4, "feedback": False}
    guarded = {"norm": "rms_cap", "guarantee": "contraction", "neuron_models": feedback}
    made = {"plain": train(folder / "plain"), "guarded": train(folder / "guarded", **guarded)}
    for run in made.values():
        assert main(["stability", str(run), "--images", "2"]) == 0
    return made


def result(run: Path) -> dict:
    return json.loads((run / "stability" / "stability.json").read_text(encoding="utf-8"))


def test_the_report_has_an_answer_a_certificate_and_a_picture(runs: dict[str, Path]) -> None:
    for run in runs.values():
        assert result(run)["lds"]["answer"] in ("proved", "refuted", "unknown")
        assert (run / "stability" / "stability.png").stat().st_size > 30_000
        assert "# Stability of" in (run / "stability" / "stability.md").read_text(encoding="utf-8")


def test_stable_is_said_where_it_is_proved_and_for_what_it_is_proved(runs: dict[str, Path]) -> None:
    plain = (runs["plain"] / "stability" / "stability.md").read_text(encoding="utf-8")
    guarded = (runs["guarded"] / "stability" / "stability.md").read_text(encoding="utf-8")
    assert "under norm rms this is a property of the weights and not of the function" in plain
    assert "guarantee proves" not in plain
    assert "Its guarantee proves that the core, with the attention held, contracts by" in guarded
    found = result(runs["guarded"])
    assert found["lds"]["answer"] == "proved"
    assert found["guarantee"]["worst_tick_in_its_norm"] <= found["guarantee"]["certified_rate"] < 1


def test_certificates_are_checked_against_the_weights(runs: dict[str, Path], tmp_path: Path, capsys: Capture) -> None:
    run = shutil.copytree(runs["guarded"], tmp_path / "run")
    assert main(["stability", str(run), "--verify"]) == 0
    assert "the certificate proves 'proved'" in capsys.readouterr().out
    weights = run / "last" / "model.safetensors"
    changed = load_file(weights)
    changed["cell.wilson_cowan.w_ee"] += 2.0
    save_file(changed, weights)
    assert main(["stability", str(run), "--verify"]) == 2
    assert "does not prove 'proved' for the weights" in capsys.readouterr().err


def test_a_network_with_a_perron_eigenvalue_of_fifteen_is_refuted_with_the_reason(
    runs: dict[str, Path], tmp_path: Path, capsys: Capture
) -> None:
    run = shutil.copytree(runs["plain"], tmp_path / "run")
    shutil.rmtree(run / "stability")
    weights = run / "last" / "model.safetensors"
    changed = load_file(weights)
    w = changed["cell.wilson_cowan.w_ee"]
    changed["cell.wilson_cowan.w_ee"] = w * (15 / torch.linalg.eigvals(w.double()).abs().max()).float()
    save_file(changed, weights)
    assert main(["stability", str(run), "--images", "1"]) == 0
    found = result(run)
    assert found["lds"]["answer"] == "refuted"
    assert "W_EE" in found["lds"]["reason"]
    assert found["raw"]["isolated_e"]["value"] == pytest.approx(15, rel=1e-4)
    assert found["normalised"]["states"] > 0  # W̃ beside it
    assert "refuted" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "met"),
    [
        (["nowhere"], "nowhere is not a run folder"),
        (["RUN", "--images", "0"], "--images must be at least 1, got 0"),
        (["RUN", "--verify", "--out", "empty"], "holds no whole analysis"),
    ],
)
def test_bad_input_gives_one_line(
    runs: dict[str, Path], arguments: list[str], met: str, capsys: Capture, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["stability", *(str(runs["plain"]) if a == "RUN" else a for a in arguments)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert met in line


def test_a_run_without_populations_gives_one_line(tmp_path: Path, capsys: Capture) -> None:
    options = ["--train.steps", "1", "--core.ticks", "2", "--out", str(tmp_path / "lstm"), "--device", "cpu"]
    assert main(["train", "lstm.digits", *options]) == 0
    capsys.readouterr()
    assert main(["stability", str(tmp_path / "lstm")]) == 2
    assert "this model's core is lstm" in capsys.readouterr().err

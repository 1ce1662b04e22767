"""Runs and weights of an earlier version: they load, answer, are evaluated and are continued as they were then."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import tide
from tide.cli.main import main
from tide.types import Prediction

FOLDER = Path(__file__).parent / "fixtures"
ANSWERS: dict[str, Any] = json.loads((FOLDER / "run-answers.json").read_text(encoding="utf-8"))
RUNS, SHIPPED = ANSWERS["runs"], ANSWERS["shipped"]
EXACT = ("kind", "step", "images", "rejected", "data_crc", "curriculum", "alarms")
"""Keys of the metrics that no rounding changes."""


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop that gave the answers."""
    monkeypatch.setenv("TIDE_NATIVE", "0")


def digits() -> Tensor:
    """Return the five images that the runs were asked about."""
    return torch.tensor(ANSWERS["images"]).view(-1, 1, 16, 16) / 255


def close(actual: Tensor, expected: list[Any]) -> None:
    torch.testing.assert_close(actual, torch.tensor(expected), rtol=1e-5, atol=1e-6)


def check_prediction(prediction: Prediction, expected: dict[str, Any]) -> None:
    assert prediction.label.tolist() == expected["label"]
    assert prediction.ticks.tolist() == expected["ticks"]
    # Random images are far from what the networks were trained on, and 16 ticks multiply what was rounded.
    torch.testing.assert_close(prediction.certainty, torch.tensor(expected["certainty"]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("checkpoint", ["best", "last"])
@pytest.mark.parametrize("name", RUNS)
@torch.no_grad()
def test_a_run_answers_as_it_did(name: str, checkpoint: str) -> None:
    expected = RUNS[name]["checkpoints"][checkpoint]
    model = tide.load(FOLDER / name, checkpoint=checkpoint)
    close(model(digits()).logits, expected["logits"])
    check_prediction(model.predict(digits()), expected)


@pytest.mark.parametrize("checkpoint", ["best", "last"])
@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_evaluated_as_it_was(name: str, checkpoint: str, tmp_path: Path) -> None:
    expected, out = RUNS[name]["checkpoints"][checkpoint], tmp_path / "eval.json"
    options = ["--checkpoint", checkpoint, "--device", "cpu", "--threads", "1", "--out", str(out)]
    assert main(["eval", str(FOLDER / name), *options]) == 0
    readings = json.loads(out.read_text())
    assert readings["images"] == expected["images"]
    # One image whose two best classes are as likely as each other may fall to the other side.
    for key in ("accuracy", "accuracy_last_tick"):
        assert readings[key] == pytest.approx(expected[key], abs=1.5 / expected["images"])
    assert readings["certainty"] == pytest.approx(expected["certainty_mean"], rel=1e-5)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_continued_as_it_would_have_gone_on(name: str, tmp_path: Path) -> None:
    run = Path(shutil.copytree(FOLDER / name, tmp_path / "run"))
    before = (run / "metrics.jsonl").read_text()
    assert main(["train", "--resume", str(run), "--device", "cpu", "--threads", "1"]) == 0
    after = (run / "metrics.jsonl").read_text()
    assert after.startswith(before)
    lines = [json.loads(line) for line in after[len(before) :].splitlines()]
    assert len(lines) == len(RUNS[name]["continued"])
    for line, expected in zip(lines, RUNS[name]["continued"], strict=True):
        assert [key for key in line if key != "thinking"] == list(expected)  # which came later
        assert {key: line.get(key) for key in EXACT} == {key: expected.get(key) for key in EXACT}
        for key in expected.keys() - set(EXACT):
            # Sixteen steps multiply what other processors round; an image may fall to the other side.
            room = 3 / line["images"] if line["kind"] == "evaluation" else 1e-3
            value = expected[key]
            wanted = None if value is None else pytest.approx(value, rel=1e-3, abs=room)
            assert line[key] == wanted, (line["kind"], key)
    assert json.loads((run / "results.json").read_text())["complete"]


@pytest.mark.parametrize("name", SHIPPED)
def test_weights_that_come_with_the_library_answer_as_they_did(name: str) -> None:
    expected = SHIPPED[name]
    if "random" in expected:
        inputs = torch.rand(expected["random"], generator=torch.Generator().manual_seed(7))
    else:
        inputs = torch.tensor(expected["inputs"], dtype=torch.float32)
        inputs = inputs / 255 if expected["dtype"] == "torch.uint8" else inputs
    model = tide.load(f"pretrained:{name}")
    check_prediction(model.predict(inputs), expected)
    check_prediction(model.predict(inputs, halt=expected["halted"]["halt"]), expected["halted"])


def test_nothing_here_names_a_place_of_the_machine_that_made_it() -> None:
    for path in FOLDER.rglob("environment.json"):
        environment = json.loads(path.read_text())
        assert environment["data_dir"] is None
        assert "/" not in environment["command"]

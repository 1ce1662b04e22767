"""Every command on a run of each drawn task, and what is asked wrongly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

import tide
from tide.cli.main import main
from tide.data.drawn.mazes import draw_mazes, walk

Capture = pytest.CaptureFixture[str]
TASKS = {"parity.16": "0110", "sort.8": "0.5,-1,2,0.1,-0.3,0,1,-2", "maze.9": "maze.png"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps of each task, and the picture of a maze."""
    folder = tmp_path_factory.mktemp("tasks")
    for task in TASKS:
        assert main(["train", task, "--steps", "2", "--out", str(folder / task), "--device", "cpu"]) == 0
    mazes, _ = draw_mazes(1, 9, 20, torch.Generator().manual_seed(0))
    Image.fromarray(mazes[0].permute(1, 2, 0).numpy()).save(folder / "maze.png")
    return folder


@pytest.mark.parametrize("task", TASKS)
def test_a_run_is_evaluated_halted_and_shown(runs: Path, task: str, tmp_path: Path, capsys: Capture) -> None:
    run, out = str(runs / task), tmp_path / "halting.json"
    assert main(["eval", run, "--out", str(tmp_path / "eval.json")]) == 0
    logged = [json.loads(line) for line in (runs / task / "metrics.jsonl").read_text().splitlines()][-1]
    measured = json.loads((tmp_path / "eval.json").read_text())
    for name in ("accuracy", "whole_accuracy", "accuracy_last_tick"):
        assert measured[name] == pytest.approx(logged[name], abs=1e-9)
    told = capsys.readouterr().out
    assert f"most certain tick   {100 * measured['accuracy']:6.2f} %" in told
    assert f"whole answers       {100 * measured['whole_accuracy']:6.2f} %" in told
    assert main(["eval", run, "--halt-sweep", "--images", "40", "--out", str(out)]) == 0
    sweep = json.loads(out.read_text())
    assert sweep["thresholds"][0]["mean_ticks"] == tide.load(run).config.core.ticks
    assert main(["show", run, "7", "--out", str(tmp_path / "thought.png")]) == 0
    assert Image.open(tmp_path / "thought.png").size[0] > 1000


def test_answers_are_told_as_the_model_gives_them(runs: Path, capsys: Capture) -> None:
    bits = "0110100110010110"
    assert main(["predict", str(runs / "parity.16"), bits]) == 0
    model = tide.load(runs / "parity.16")
    symbols = torch.tensor([[-1.0 if bit == "1" else 1.0 for bit in bits]])
    names = " ".join(("even", "odd")[int(n)] for n in model.predict(symbols).label[0])
    assert f"{bits}  {names}  certainty" in capsys.readouterr().out

    assert main(["predict", str(runs / "maze.9"), str(runs / "maze.png")]) == 0
    pixels = torch.tensor(list(Image.open(runs / "maze.png").tobytes()), dtype=torch.uint8).reshape(1, 9, 9, 3)
    mazes = pixels.permute(0, 3, 1, 2)
    label = tide.load(runs / "maze.9").predict(mazes / 255).label
    moves = [("up", "down", "left", "right", "end")[int(n)] for n in label[0]]
    told = " ".join(moves[: moves.index("end")] if "end" in moves else moves)
    assert f"  {told}  certainty" in capsys.readouterr().out
    assert walk(mazes, label).places.shape == (1, 21, 2)


@pytest.mark.parametrize(
    ("task", "asked", "words"),
    [
        ("parity.16", ["0110"], "sequences must have shape (B, 16), got (1, 4)"),
        ("parity.16", ["01x0"], "of 0 and 1 without spaces, got '01x0' with 'x'"),
        ("parity.16", ["0" * 16, "--question", "0+1"], "the model takes a sequence"),
        ("sort.8", ["1,2,3,4,5,6,7,1"], "the numbers must be different"),
        ("sort.8", ["1,two"], "the sequence must be numbers like"),
        ("maze.9", ["photo.png"], "must be black (wall), white (free)"),
        ("maze.9", ["walled.png"], "maze must have a way from start to goal, got none from (1, 1) to (7, 7)"),
    ],
)
def test_what_is_asked_wrongly_ends_in_one_line(
    runs: Path, task: str, asked: list[str], words: str, tmp_path: Path, capsys: Capture
) -> None:
    Image.effect_noise((9, 9), 90).convert("RGB").save(tmp_path / "photo.png")
    walled = Image.new("RGB", (9, 9))
    for place, colour in ((1, (255, 0, 0)), (7, (0, 255, 0))):
        walled.putpixel((place, place), colour)
    walled.save(tmp_path / "walled.png")
    asked = [str(tmp_path / part) if part.endswith(".png") else part for part in asked]
    assert main(["predict", str(runs / task), *asked]) == 2
    error = capsys.readouterr().err
    assert words in error.splitlines()[-1]
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "maze.9", "maze.png"], "the sample must be the number of a test sample"),
        (["export", "maze.9", "parity.16", "--html", "page.html"], "all models must take and answer the same"),
        (["show", "maze.9", "3", "--out", ""], "--out must be a path, got ''"),
        (["show", "sort.8", "3", "--animate", "a.gif"], "--animate must be left out, got a.gif"),
    ],
)
def test_what_a_task_has_not_is_refused(
    runs: Path, arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(runs)
    before = sorted(runs.iterdir())
    assert main(arguments) == 2
    assert words in capsys.readouterr().err.splitlines()[-1]
    assert sorted(runs.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "sort.8", "--core.ticks", "7"], "core.ticks must be at least output.emitted = 8, got 7"),
        (
            ["train", "parity.16", "--input.length", "20"],
            "output must be of 2 classes at positions (20,)",
        ),
        (["train", "anytime.sort.8"], "anytime.sort.8"),
    ],
)
def test_settings_that_do_not_fit_the_task_end_in_one_line(
    arguments: list[str], words: str, tmp_path: Path, capsys: Capture
) -> None:
    assert main([*arguments, "--steps", "1", "--out", str(tmp_path / "run")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()

"""``tide robustness`` as a user runs it, on tiny models of real digits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.train.conftest import TINY
from tide.cli.main import main
from tide.cli.models import SplitSource
from tide.config_io import flatten

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two runs of two steps, of other seeds."""
    folders = []
    for seed in (1, 2):
        folder = tmp_path_factory.mktemp("robust") / f"tide-{seed}"
        settings = flatten(TINY) | {"train.steps": 2, "seed": seed}
        options = [part for key, value in settings.items() for part in (f"--{key.replace('_', '-')}", str(value))]
        assert main(["train", "digits", *options, "--out", str(folder), "--device", "cpu"]) == 0
        folders.append(str(folder))
    return folders


def test_all_corruptions_of_a_few_images(runs: list[str], tmp_path: Path, capsys: Capture) -> None:
    options = ["--images", "12", "--out", str(tmp_path), "--device", "cpu", "--threads", "1"]
    assert main(["robustness", *runs, *options, "--baseline", runs[1]]) == 0
    printed = capsys.readouterr().out
    assert "# corruptions: tide-1, tide-2" in printed
    result = json.loads((tmp_path / "robustness.json").read_text(encoding="utf-8"))
    assert (result["images"], result["baseline"]) == (12, "tide-2")
    assert len(result["models"]["tide-1"]["cells"]) == 1 + 18 * 5
    assert result["models"]["tide-2"]["groups"]["15 corruptions"]["mce"] == 1
    assert result["models"]["tide-1"]["groups"]["15 corruptions"]["difference"].keys() == {"mean", "low", "high"}
    assert "--out" not in result["environment"]["command"]
    assert list(result["seeds"]["models"]) == ["tide"]
    assert "| tide | 1, 2 | 15 corruptions |" in printed
    for name in ("differences.png", "severity.png", "sheet.png", "corruptions.png"):
        assert (tmp_path / name).stat().st_size > 10_000
    cells = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.safetensors")}
    assert main(["robustness", *runs, *options, "--baseline", runs[1]]) == 0
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.safetensors")} == cells


def test_a_published_set_in_its_folder(runs: list[str], tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "digits-c"
    folder.mkdir()
    np.save(folder / "fog.npy", np.random.default_rng(0).integers(0, 255, (50, 16, 16, 1), dtype=np.uint8))
    np.save(folder / "labels.npy", np.arange(10))
    out = tmp_path / "out"
    assert main(["robustness", runs[0], "--suite", str(folder), "--out", str(out), "--device", "cpu"]) == 0
    assert "| fog |" in capsys.readouterr().out


def test_photos_of_some_classes_in_the_layout_of_tiny_imagenet(
    runs: list[str], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tmp_path / "tiny" / "val" / "images"
    photos.mkdir(parents=True)
    for number in range(6):
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (8, 8), dtype=np.uint8)).save(
            photos / f"{number}.png"
        )
    lines = "".join(f"{number}.png\t{number % 3 + 4}\t0\t0\t8\t8\n" for number in range(6))
    (photos.parent / "val_annotations.txt").write_text(lines)
    reads: list[object] = []
    read = SplitSource.read
    monkeypatch.setattr(SplitSource, "read", lambda source, run: reads.append(source) or read(source, run))
    options = ["--suite", str(tmp_path / "tiny"), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main(["robustness", *runs, *options, "--jacobian-images", "2", "--workers", "0"]) == 0
    assert len(reads) == 1  # both runs name the same data
    printed = capsys.readouterr().out
    for part in ("| rotation |", "## Among 3 classes", "## Over seeds, among 3 classes", "## Jacobian under shift"):
        assert part in printed
    result = json.loads((tmp_path / "out" / "robustness.json").read_text(encoding="utf-8"))
    assert list(result["shifts"]) == ["flip", "rotation", "colour", "noise", "blur"]
    assert result["jacobian"]["models"]["tide-1"]["clean"].keys() == {"mean", "least", "most", "core"}
    for name in ("restricted.png", "jacobian.png"):
        assert (tmp_path / "out" / name).stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "met"),
    [
        ("", "no run given"),
        ("RUN --images 0", "--images is 0"),
        ("RUN --jacobian-images -1", "--jacobian-images is -1"),
        ("RUN --suite corruption", "suite 'corruption' is no folder"),
        ("RUN --baseline elsewhere", "baseline elsewhere is none of the 1 runs"),
        ("RUN RUN", "is given twice"),
        ("nowhere", "nowhere does not exist"),
    ],
)
def test_bad_input_gives_one_line(runs: list[str], tmp_path: Path, capsys: Capture, words: str, met: str) -> None:
    arguments = [runs[0] if word == "RUN" else word for word in words.split()]
    assert main(["robustness", *arguments, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.strip()
    assert met in error
    assert "\n" not in error
    assert not (tmp_path / "out").exists()

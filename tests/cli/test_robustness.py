"""``tide robustness`` as a user runs it, on tiny models of real digits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

import tide
from tests.train.conftest import TINY
from tide.cli import robustness
from tide.cli.main import main
from tide.config.io import flatten
from tide.data import load
from tide.plots import robustness as plots
from tide.runs.reopen import SplitSource

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


def test_all_corruptions_of_a_few_images(
    runs: list[str], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(robustness, "EXAMPLES", 1)  # pictures take most of the time
    options = ["--images", "12", "--out", str(tmp_path), "--device", "cpu", "--threads", "1"]
    assert main(["robustness", *runs, *options, "--baseline", runs[1]]) == 0
    printed = capsys.readouterr().out
    assert "# corruptions: tide-1, tide-2" in printed
    result = json.loads((tmp_path / "robustness.json").read_text(encoding="utf-8"))
    assert (result["images"], result["baseline"]) == (12, "tide-2")
    assert len(result["models"]["tide-1"]["cells"]) == 1 + 26 * 5
    assert result["models"]["tide-2"]["groups"]["15 corruptions"]["mce"] == 1
    assert result["models"]["tide-1"]["groups"]["15 corruptions"]["difference"].keys() == {"mean", "low", "high"}
    assert "--out" not in result["environment"]["command"]
    assert list(result["seeds"]["models"]) == ["tide"]
    assert "| tide | 1, 2 | 15 corruptions |" in printed
    for name in ("differences.png", "severity.png", "sheet.png", "corruptions.png"):
        assert (tmp_path / name).stat().st_size > 10_000
    cells = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.safetensors")}
    (tmp_path / "robustness.json").unlink()
    monkeypatch.setattr("tide.plots.robustness.draw_differences", failing)
    with pytest.raises(RuntimeError, match="no picture"):
        main(["robustness", *runs, *options, "--baseline", runs[1]])
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.safetensors")} == cells
    again = json.loads((tmp_path / "robustness.json").read_text(encoding="utf-8"))  # the numbers come first
    assert again["models"] == result["models"]


def failing(*_: object) -> None:
    raise RuntimeError("no picture")


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
    assert main(["robustness", *runs, *options, "--workers", "0"]) == 0
    assert reads == []  # the models know their classes
    printed = capsys.readouterr().out
    for part in ("| rotation |", "## Among 3 classes", "## Over seeds, among 3 classes"):
        assert part in printed
    result = json.loads((tmp_path / "out" / "robustness.json").read_text(encoding="utf-8"))
    assert list(result["shifts"]) == ["flip", "rotation", "colour", "noise", "blur"]
    assert (tmp_path / "out" / "restricted.png").stat().st_size > 10_000


@pytest.fixture
def imagenet_c(tmp_path: Path) -> Path:
    """A data directory with photos of three classes of digits under two corruptions, none at severity 3."""
    for place in ("fog/1", "fog/2", "snow/4"):
        for label in (4, 5, 6):
            folder = tmp_path / "data" / "ImageNet_C" / place / str(label)
            folder.mkdir(parents=True)
            pixels = np.random.default_rng(label).integers(0, 256, (16, 16), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "0.png")
    return tmp_path / "data"


def test_a_set_by_name_without_the_middle_severity_and_clean_images_of_its_classes(
    runs: list[str], imagenet_c: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    drawn: list[list[str]] = []
    draw = plots.draw_sheet
    monkeypatch.setattr(plots, "draw_sheet", lambda images, *rest: drawn.append(list(images)) or draw(images, *rest))
    options = ["--suite", "imagenet-c", "--data-dir", str(imagenet_c), "--device", "cpu", "--workers", "0"]
    assert main(["robustness", runs[0], *options]) == 0
    assert drawn == [["fog-2", "snow-4"]]
    out = tmp_path / "runs" / "robustness-ImageNet_C"
    clean = load_file(out / "cells" / "tide-1" / "clean.safetensors")
    test = load("digits").test
    assert clean["positions"].tolist() == [
        place for place, label in enumerate(test.labels.tolist()) if label in (4, 5, 6)
    ]
    assert main(["robustness", *runs, *options]) == 0  # the second run joins the first
    assert sorted(path.name for path in (out / "cells").iterdir()) == ["tide-1", "tide-2"]
    moved = tmp_path / "elsewhere" / "ImageNet_C"
    shutil.copytree(imagenet_c / "ImageNet_C", moved)
    Image.new("L", (16, 16)).save(moved / "snow" / "4" / "4" / "0.png")
    capsys.readouterr()
    assert main(["robustness", *runs, "--suite", str(moved), "--device", "cpu"]) == 2
    assert "holds answers measured with other settings or models (data '" in capsys.readouterr().err


def test_a_saved_model_names_its_data_only_where_they_are_wanted(
    runs: list[str], imagenet_c: Path, tmp_path: Path, capsys: Capture
) -> None:
    saved = tmp_path / "saved"
    tide.load(runs[0], checkpoint="last").save_pretrained(saved)
    options = ["--out", str(tmp_path / "out"), "--device", "cpu", "--workers", "0", "--suite"]
    renditions = str(imagenet_c / "ImageNet_C" / "fog" / "1")
    assert main(["robustness", str(saved), *options, renditions]) == 0
    options[1] = str(tmp_path / "other")
    folder = str(imagenet_c / "ImageNet_C")
    assert main(["robustness", str(saved), *options, folder]) == 2
    assert "does not say which data it was trained on; name it with --data" in capsys.readouterr().err
    assert main(["robustness", str(saved), *options, folder, "--data", "digits"]) == 0
    saved_cells, run_cells = (tmp_path / "other" / "cells" / name for name in ("saved", "tide-1"))
    assert main(["robustness", runs[0], str(saved), *options, folder]) == 0
    for file in ("clean.safetensors", "fog-2.safetensors"):
        assert (saved_cells / file).read_bytes() == (run_cells / file).read_bytes()
    options[1] = str(tmp_path / "adapted")
    assert main(["robustness", runs[0], *options, folder, "--statistics", "batch", "--batch", "7"]) == 0
    assert "takes the statistics of batches of 7 images" in capsys.readouterr().out
    adapted = tmp_path / "adapted" / "cells" / "tide-1" / "fog-2.safetensors"
    assert adapted.read_bytes() != (run_cells / "fog-2.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("words", "met"),
    [
        ("", "no run given"),
        ("RUN --images 0", "--images must be at least 1, got 0"),
        ("RUN --suite corruption", "suite 'corruption' is no folder and no known name; did you mean 'corruptions'?"),
        ("RUN --suite imagenet-R", "did you mean 'imagenet-r'?"),
        ("RUN --suite imagenet-r --data-dir empty", "empty has no folder imagenet-r, which holds the suite"),
        ("RUN --baseline elsewhere", "--baseline must be one of the 1 runs, got elsewhere"),
        ("RUN RUN", "runs must be different"),
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

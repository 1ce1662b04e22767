"""Photos in Parquet files as the Hugging Face hub has them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.data.hub_server import COMMIT, Hub, serve
from tests.parquet import NAMES, encoded, write
from tests.train.conftest import TINY
from tide.data import Decoding, batch_indices, open_photos
from tide.data.hub import files_of_part, is_repository, parquet_files
from tide.errors import ConfigError


@pytest.fixture
def folder(datasets: Any, tmp_path: Path) -> Path:
    directory = tmp_path / "photos"
    write(datasets, directory / "data" / "train-00000-of-00002.parquet", [0, 10, 20, 30])
    write(datasets, directory / "data" / "train-00001-of-00002.parquet", [40, 50, 60])
    write(datasets, directory / "data" / "validation-00000-of-00001.parquet", [70, 80])
    write(datasets, directory / "data" / "test-00000-of-00001.parquet", [90])
    return directory


def test_reads_both_parts_like_files(folder):
    splits = open_photos(f"hub:{folder}", size=4, channels=1)
    assert splits.name == f"hub:{folder}"
    assert splits.train.classes == splits.test.classes == tuple(NAMES)
    assert splits.train.labels.tolist() == [0, 1, 2, 0, 0, 1, 2]
    (batch,) = splits.test.batches(5)
    assert batch.images[:, 0, 0, 0].tolist() == [70, 80]
    requests = [(batch_indices(7, 5, step, 3), step) for step in range(3)]
    alone, helped = (list(splits.train.decoded_with(Decoding(workers=workers)).crops(requests)) for workers in (0, 2))
    for (index, _), left, right in zip(requests, alone, helped, strict=True):
        assert torch.equal(left.images, right.images)
        assert left.images.shape == (5, 1, 4, 4)
        assert torch.equal(left.images[:, 0, 0, 0], index * 10)
        assert torch.equal(left.labels, splits.train.labels[index])


def test_the_layout_of_converted_data_sets_and_a_part_called_test(datasets, tmp_path):
    write(datasets, tmp_path / "default" / "train" / "0000.parquet", [0, 10])
    write(datasets, tmp_path / "default" / "test" / "0000.parquet", [20])
    splits = open_photos(f"hub:{tmp_path}", size=4, channels=3)
    assert (len(splits.train), len(splits.test)) == (2, 1)


def test_unreadable_rows_are_named(datasets, folder):
    image = ([{"bytes": b"no photo", "path": None}, None, {"bytes": encoded(5), "path": None}], datasets.Image())
    write(datasets, folder / "data" / "validation-00000-of-00001.parquet", [0, 0, 0], image=image)
    photos = open_photos(f"hub:{folder}", size=4, channels=1).test
    lines: list[str] = []
    (batch,) = photos.decoded_with(Decoding(on_unreadable=lines.append)).batches(5)
    assert batch.positions.tolist() == [2]
    assert lines[0].startswith(f"{folder}, validation, row 0: unreadable photo (")
    assert lines[1].startswith(f"{folder}, validation, row 1: no photo")


def test_a_row_may_name_a_file(datasets, folder, tmp_path):
    (tmp_path / "7.png").write_bytes(encoded(7))
    image = ([{"bytes": None, "path": str(tmp_path / "7.png")}], datasets.Image())
    write(datasets, folder / "data" / "validation-00000-of-00001.parquet", [0], image=image)
    (batch,) = open_photos(f"hub:{folder}", size=4, channels=1).test.batches(5)
    assert batch.images.unique().tolist() == [7]


def test_refuses_other_files(datasets, folder, refuses):
    path = folder / "data" / "validation-00000-of-00001.parquet"
    write(datasets, path, [0], label=([0], datasets.Value("int64")))
    with refuses(f"{folder}, validation: column 'label' must be ClassLabel, got Value"):
        open_photos(f"hub:{folder}", size=4, channels=1)
    write(datasets, path, [0], label=([None], datasets.ClassLabel(names=NAMES)))
    with refuses(f"{folder}, validation: row 0 must have a label"):
        open_photos(f"hub:{folder}", size=4, channels=1)
    datasets.Dataset.from_dict({"label": [0]}).to_parquet(path)
    with refuses(f"{folder}, validation: column 'image' must be Image, got nothing"):
        open_photos(f"hub:{folder}", size=4, channels=1)
    write(datasets, path, [0], names=["cat", "dog", "elk"])
    with refuses(f"hub:{folder}: test class 2 must be 'eel' as in training, got 'elk'"):
        open_photos(f"hub:{folder}", size=4, channels=1)
    path.write_bytes(b"PAR1")
    with refuses(folder, "unreadable Parquet files"):
        open_photos(f"hub:{folder}", size=4, channels=1)
    with refuses("photo size must be"):
        open_photos(f"hub:{folder}", channels=1)


def test_refuses_folders_without_parts(tmp_path, refuses):
    with refuses(tmp_path, "no Parquet files", "train-*.parquet"):
        open_photos(f"hub:{tmp_path}", size=4, channels=1)
    with refuses("got no folder that exists"):
        open_photos(f"hub:{tmp_path / 'other'}", size=4, channels=1)
    with pytest.raises(ConfigError, match=r"data\.name must not be empty"):
        open_photos("hub:", size=4, channels=1)


def test_parts_are_told_by_what_lies_within_the_folder(tmp_path, refuses):
    """Not by what the folder itself is called: photos to be tested on must not be learned from."""
    place = tmp_path / "train"
    place.mkdir()
    for name in ("train-0", "train-1", "validation-0"):
        (place / f"{name}.parquet").touch()
    _, files = parquet_files(str(place))
    assert list(files) == ["train-0.parquet", "train-1.parquet", "validation-0.parquet"]
    assert files_of_part("photos", files, "train") == ([files["train-0.parquet"], files["train-1.parquet"]], "train")
    assert files_of_part("photos", files, "val") == ([files["validation-0.parquet"]], "validation")
    several = {f"{folder}/train/0.parquet": folder for folder in ("original", "rotated")}
    with refuses("photos: files of train must be in one folder, got original, rotated"):
        files_of_part("photos", several, "train")


def test_what_names_a_data_set_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "here").mkdir(parents=True)
    for place in ("owner/photos", "owner/photos/small", "owner/here@main", "owner/photos@refs/convert/parquet"):
        assert is_repository(place), place
    for place in ("owner/here", "photos", "./owner/photos", "../owner/photos", "/owner/photos", "~/photos", "owner/"):
        assert not is_repository(place), place


def test_the_missing_library_is_one_line(tmp_path, monkeypatch, refuses):
    monkeypatch.setitem(sys.modules, "datasets", None)
    (tmp_path / "train-0.parquet").write_bytes(b"")
    with refuses(tmp_path, "pip install 'tide-dynamics[hub]'"):
        open_photos(f"hub:{tmp_path}", size=4, channels=1)


@pytest.fixture
def hub(datasets: Any, tmp_path: Path) -> Any:
    """A hub on this machine with 30 photos to train on and 3 to test on."""
    data = tmp_path / "hub" / "data"
    for number in range(2):
        levels = list(range(number, 250, 17))
        write(datasets, data / f"train-{number:05}-of-00002.parquet", levels)
    write(datasets, data / "validation-00000-of-00001.parquet", [70, 80, 90])
    with serve(tmp_path / "hub", "owner/photos") as hub:
        yield hub


def tide(hub: Hub, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the library against the hub: it takes the address when it is imported."""
    settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "0", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tide", *arguments]
    return subprocess.run(
        command, cwd=folder, env=os.environ | settings, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_run_takes_photos_of_the_hub_and_is_tested_without_its_training_part(hub: Hub, tmp_path: Path) -> None:
    train = {**TINY["train"], "steps": 4, "batch": 4, "accumulation": 2}
    data = {"name": "hub:owner/photos"}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump({**TINY, "train": train, "data": data}), encoding="utf-8")
    done = tide(hub, tmp_path, "train", "digits", "--config", "tiny.yaml", "--workers", "1", "--out", "run")
    assert done.returncode == 0, done.stderr
    stored = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text(encoding="utf-8"))["data"]
    assert (stored["kind"], stored["name"]) == ("hub", f"owner/photos@{COMMIT}")
    asked = len(hub.asked)
    (tmp_path / "owner" / "photos").mkdir(parents=True)  # a folder of the same name is not what the run was trained on
    done = tide(hub, tmp_path, "eval", "run")
    assert done.returncode == 0, done.stderr
    assert "3 test images" in done.stdout
    assert not [path for _, path, _ in hub.asked[asked:] if "resolve" in path and "train-" in path]


def test_an_unknown_data_set_is_one_line(hub: Hub, tmp_path: Path) -> None:
    done = tide(hub, tmp_path, "train", "digits", "--data", "hub:owner/photo", "--input.channels", "1")
    assert done.returncode == 2
    _, line = done.stderr.splitlines()  # the first says that PyTorch is loaded
    assert "owner/photo: no folder and no answer of the hub" in line

"""From settings to a data set: only the part that is asked for is read, and nothing larger than it must be."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.parquet import write
from tide.config import DrawnConfig, FolderConfig, HubConfig, ImageConfig, NamedDataConfig
from tide.config.base import settings
from tide.data import drawn_test, load, open_photos, read_splits, read_test
from tide.models.presets import preset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part, count in (("train", 6), ("val", 2)):
        for number in range(2 * count):
            file = tmp_path / part / "ab"[number % 2] / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((9, 9), 10 * number, dtype=np.uint8)).save(file)
    return tmp_path


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The parts of the photos that are opened from here on."""
    parts, opened = [], Image.open
    monkeypatch.setattr(Image, "open", lambda file: parts.append(Path(file).parts[-3]) or opened(file))
    return parts


def test_only_the_part_that_is_asked_for_is_decoded(folder: Path, decoded: list[str]) -> None:
    data = FolderConfig(name=str(folder))
    config = preset("digits", input={"channels": 1, "size": 8}, data={"name": f"folder:{folder}"})
    assert len(read_test(data, config)) == 4
    assert set(decoded) == {"val"}
    decoded.clear()
    held_out = read_splits(replace(config, data=replace(data, validation=0.25)))
    assert (len(held_out.train), len(held_out.test)) == (9, 3)
    assert set(decoded) == {"train"}  # what is held out stands in the place of the test part
    decoded.clear()
    splits = read_splits(config)
    assert (len(splits.train), len(splits.test)) == (12, 4)
    assert sorted(decoded) == ["train"] * 12 + ["val"] * 4


def test_photos_of_the_hub_are_loaded_into_memory_too(datasets: Any, tmp_path: Path) -> None:
    write(datasets, tmp_path / "photos" / "train-0.parquet", [0, 10, 20, 30])
    write(datasets, tmp_path / "photos" / "validation-0.parquet", [70, 80])
    name = f"hub:{tmp_path / 'photos'}"
    loaded, opened = load(name, size=4, channels=1), open_photos(name, size=4, channels=1)
    assert loaded.name == opened.name == name
    assert loaded.train.images[:, 0, 0, 0].tolist() == [0, 10, 20, 30]
    assert torch.equal(loaded.train.labels, opened.train.labels)
    assert torch.equal(loaded.test.images, opened.test.select(slice(None)).images)


def test_the_shape_of_a_drawn_set_does_not_depend_on_the_length_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The preset maze draws 64 million samples: their numbers alone would be 488 MiB."""
    samples, arange, lengths = read_splits(preset("maze")).train, torch.arange, []
    monkeypatch.setattr(torch, "arange", lambda *args, **options: lengths.append(max(args)) or arange(*args, **options))
    tracemalloc.start()
    assert samples.shape == (3, 39, 39)
    assert len(samples.select(slice(5)).labels) == 5
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()
    assert max(lengths, default=0) < 10**6 < len(samples)


def test_a_small_share_of_drawn_samples_is_one_at_least() -> None:
    config = preset("parity.16", data={"validation": 0.0001})
    assert len(read_splits(config).test) == 1
    assert len(drawn_test("parity", config)) == 1000


def test_images_want_a_model_of_images_and_tasks_one_of_theirs(refuses: Any) -> None:
    assert set(settings("data").values()) >= {NamedDataConfig, FolderConfig, HubConfig, DrawnConfig}
    config = preset("parity.16")
    assert not isinstance(config.input, ImageConfig)
    with refuses("data.name must be a task, as the model takes a sequence"):
        read_test(FolderConfig(name="x"), config)
    with refuses("data set must be one known by name, got 'parity'"):
        load("parity")

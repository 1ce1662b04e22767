"""Labelled images, their checks and statistics; from settings to a data set."""

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
from tide.data import ImageSet, Splits, drawn_test, load, open_photos, read_splits, read_test, statistics
from tide.models.presets import preset

IMAGES = torch.zeros(4, 3, 5, 5, dtype=torch.uint8)
LABELS = torch.tensor([0, 1, 1, 0])
CLASSES = ("cat", "dog")


@pytest.mark.parametrize(
    ("images", "labels", "parts"),
    [
        (IMAGES.float(), LABELS, ("float32", "uint8")),
        (IMAGES[0], LABELS, ("(3, 5, 5)", "(N, C, H, W)")),
        (IMAGES[:0], LABELS[:0], ("(0, 3, 5, 5)", "at least one")),
        (IMAGES, LABELS.int(), ("int32", "int64")),
        (IMAGES, LABELS[:3], ("(3,)", "(4,)")),
        (IMAGES, torch.tensor([0, 1, 12, 0]), ("label must be 0..1 for 2 classes, got 12",)),
        (IMAGES, torch.tensor([0, 1, -1, 0]), ("label must be 0..1 for 2 classes, got -1",)),
    ],
)
def test_refuses_what_does_not_fit(images, labels, parts, refuses):
    with refuses(*parts):
        ImageSet(images, labels, CLASSES)


def test_the_parts_of_a_set_agree(refuses):
    train = ImageSet(IMAGES, LABELS, CLASSES)
    with refuses("tiny", "(3, 5, 4)", "(3, 5, 5)"):
        Splits("tiny", train, ImageSet(IMAGES[..., :4], LABELS, CLASSES))
    with refuses("test class 1 must be 'dog' as in training, got 'cow'"):
        Splits("tiny", train, ImageSet(IMAGES, LABELS, ("cat", "cow")))
    with refuses("must be 2 test classes as in training, got 3"):
        Splits("tiny", train, ImageSet(IMAGES, LABELS, ("cat", "dog", "cow")))


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (7, 3, 5, 4), (50, 1, 9, 9)])
def test_statistics_are_those_of_the_pixels(shape):
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    slow = images.transpose(0, 1).flatten(1).double() / 255
    mean, deviation = statistics(images)
    assert mean == pytest.approx(slow.mean(1).tolist(), abs=1e-12)
    assert deviation == pytest.approx(slow.std(1, correction=0).tolist(), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "mean", "deviation"),
    [
        ("mnist", (0.1307,), (0.3081,)),
        ("fashion-mnist", (0.2860,), (0.3530,)),
        ("cifar10", (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    ],
)
def test_statistics_of_the_published_sets_are_the_known_ones(name, mean, deviation, real_data):
    splits = load(name, real_data(name))
    assert (len(splits.train), len(splits.test), len(splits.train.classes)) == (
        50_000 if name == "cifar10" else 60_000,
        10_000,
        10,
    )
    found = statistics(splits.train.images)
    assert found[0] == pytest.approx(mean, abs=5e-5)
    assert found[1] == pytest.approx(deviation, abs=5e-5)


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

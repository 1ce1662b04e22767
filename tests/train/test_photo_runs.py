"""Runs on photos that are decoded when they are used: the same whatever the workers, resumed exactly, never lost."""

from __future__ import annotations

import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from tests.train.conftest import TINY
from tests.train.test_step import assert_same
from tide.cli.main import main
from tide.config import Config, FolderConfig, HubConfig, ImageConfig
from tide.data import load_test_photos, read_splits, to_float
from tide.errors import ConfigError, DataError
from tide.models.presets import preset
from tide.models.thinker import Thinker
from tide.runs.folder import RunFolder
from tide.runs.reopen import read_photo
from tide.train.feed import PhotoFeed, crop_seed
from tide.train.report import SilentReporter, StepSummary
from tide.train.run import Run
from tide.train.supervised import Supervised, fit_to_data, resolved, supervised_run, with_data

STEPS = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of two classes, one bright on the left and one on the right: 20 to train and 7 to test."""
    root, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for part, counts in (("train", (9, 11)), ("val", (3, 4))):
        for label, count in enumerate(counts):
            for number in range(count):
                pixels = random.integers(0, 120, (24, 30, 3), dtype=np.uint8)
                pixels[:, 15 * label : 15 * label + 15] += 120
                file = root / part / ("left", "right")[label] / f"{number}.jpg"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(file)
    return root


@pytest.fixture(scope="module")
def parquet(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same photos in Parquet files."""
    library = pytest.importorskip("datasets", reason="no datasets: pip install 'tide-dynamics[hub]'")
    root = tmp_path_factory.mktemp("parquet")
    features = library.Features({"image": library.Image(), "label": library.ClassLabel(names=["left", "right"])})
    for part, name in (("train", "train"), ("val", "validation")):
        files = sorted((folder / part).glob("*/*.jpg"))
        images = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
        rows = {"image": images, "label": [file.parent.name for file in files]}
        library.Dataset.from_dict(rows, features=features).to_parquet(root / f"{name}-0.parquet")
    return root


def settings(folder: Path, **data: Any) -> Config:
    train = {**TINY["train"], "steps": STEPS, "batch": 3, "accumulation": 2, "probe_every": 3, "probe_images": 4}
    source = {"name": f"folder:{folder}"} | data
    if source["name"].startswith("folder:"):
        source.setdefault("photos", "streamed")
    sections = {**TINY, "train": train, "data": {"flip": True} | source}
    return resolved(preset("digits", input={"channels": 3, "mean": [0.5] * 3, "std": [0.2] * 3}, **sections))


@pytest.mark.parametrize("crop", [1.0, 0.875])
def test_every_path_shows_a_model_the_same_pixels(folder: Path, parquet: Path, crop: float) -> None:
    """In memory, streamed, from Parquet files, as a test set without a training part, and in a prediction."""
    streamed = settings(folder)
    streamed = replace(streamed, input=replace(streamed.input, crop=crop))
    configs = [
        streamed,
        replace(streamed, data=replace(streamed.data, photos="in_memory")),
        replace(streamed, data=HubConfig(name=str(parquet))),
    ]
    shown = [read_splits(config).test.select(slice(None)).images for config in configs]
    shape = streamed.input
    alone = load_test_photos(folder / "val", ("left", "right"), shape.size, shape.channels, crop=crop)
    shown.append(alone.select(slice(None)).images)
    model = Thinker(streamed.model)
    predicted = [read_photo(model, Path(alone.source.name(place))) for place in range(len(alone))]
    for images in shown:
        assert torch.equal(to_float(images), torch.cat(predicted))


class Listener(SilentReporter):
    """Keeps what is said, and stops the run after a step."""

    def __init__(self, stop: int = 0) -> None:
        super().__init__(STEPS)
        self.stop, self.said = stop, []

    def reading(self, reading: StepSummary) -> None:
        if reading.step == self.stop:
            signal.raise_signal(signal.SIGTERM)

    def message(self, text: str, *, alarm: bool = False) -> None:
        self.said.append(text)


def make(config: Config, path: Path, workers: int, reporter: SilentReporter, *, new: bool = True) -> Run[Supervised]:
    splits = read_splits(config)
    config = fit_to_data(config, splits)
    run = RunFolder.create(path, config) if new else RunFolder.open(path)
    return supervised_run(config, splits, run, reporter, workers=workers)


@pytest.fixture(params=["folder", "hub"])
def photos(request: pytest.FixtureRequest) -> Config:
    """Settings for photos in files of their own, and in Parquet files."""
    if request.param == "folder":
        return settings(request.getfixturevalue("folder"))
    request.getfixturevalue("datasets")
    return settings(Path(), name=f"hub:{request.getfixturevalue('parquet')}")


def test_a_run_does_not_depend_on_its_workers_and_resumes_exactly(photos: Config, tmp_path: Path) -> None:
    config = photos
    assert make(config, tmp_path / "alone", 0, Listener()).fit() is None
    assert make(config, tmp_path / "cut", 2, Listener(stop=3)).fit() == signal.SIGTERM
    resumed = make(config, tmp_path / "cut", 1, Listener(), new=False)
    resumed.resume()
    assert resumed.progress.step == 3
    resumed.fit()
    assert_same(*(load_file(tmp_path / name / "last" / "model.safetensors") for name in ("alone", "cut")))
    logs = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("alone", "cut")]
    assert logs[0] == logs[1]


def test_the_feed_gives_the_crops_of_its_requests_in_any_order(photos: Config) -> None:
    config = photos
    train, cpu = read_splits(config).train, torch.device("cpu")
    feed = PhotoFeed(train, config, cpu, (1,))
    for step in (0, 1, 4, 2, 2):  # straight on, ahead, back, the same again
        images, labels = feed.take(step, 1)
        request = feed.order(step, 1), crop_seed(config, step, 1)
        (expected,) = train.crops([request])
        assert torch.equal(images, expected.images)
        assert torch.equal(labels, train.select(request[0]).labels)
    feed.close()


def test_processes_that_share_the_micro_batches_take_what_one_takes(photos: Config) -> None:
    train, shown = read_splits(photos).train, {}
    for mine in ((0, 1), (0,), (1,)):
        feed = PhotoFeed(train, photos, torch.device("cpu"), mine)
        shown[mine] = [feed.take(step, micro) for step in range(STEPS) for micro in mine]
        feed.close()
    alone = [shown[mine][step] for step in range(STEPS) for mine in ((0,), (1,))]
    for left, right in zip(shown[0, 1], alone, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(left, right, strict=True))
    labels = torch.cat([labels for _, labels in alone])
    assert len(labels) == 36
    assert 0.2 < labels.double().mean() < 0.8  # neither class alone


def test_without_flip_no_crop_is_mirrored(folder: Path) -> None:
    """The bright half of a photo stays on its side, unless it is mirrored."""
    config = settings(folder)
    train, index = read_splits(config).train, torch.arange(20)
    sides = {}
    for flip in (True, False):
        bright = torch.zeros(20)
        for seed in range(8):
            (batch,) = train.crops([(index, seed)], flip=flip)
            columns = batch.images.float().mean((1, 2))
            bright += columns[:, 8:].mean(1) - columns[:, :8].mean(1)
        sides[flip] = (bright > 0) == (train.labels == 1)
    assert bool(sides[False].all())
    assert not bool(sides[True].all())


def test_unreadable_photos_are_named_once_left_out_and_bounded(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "photos")
    for name in ("val/left/1.jpg", "train/right/5.jpg"):
        (tmp_path / "photos" / name).write_bytes(b"")
    listener = Listener()
    config = settings(tmp_path / "photos")
    make(config, tmp_path / "run", 1, listener).fit()
    told = [text for text in listener.said if text.startswith("left out:")]
    assert sorted(Path(text.split(": ")[1]).parts[-3] for text in told) == ["train", "val"]
    evaluations = RunFolder.open(tmp_path / "run").metrics("evaluation")
    assert {line["images"] for line in evaluations} == {6}
    strict = settings(tmp_path / "photos", unreadable_limit=0)
    with pytest.raises(DataError, match="at most 0 photos may be unreadable, got 1"):
        make(strict, tmp_path / "strict", 1, Listener()).fit()


def test_classes_come_from_the_folder_and_statistics_from_the_settings(folder: Path) -> None:
    config = settings(folder)
    fitted = fit_to_data(config, read_splits(config))
    assert fitted.output.labels == ("left", "right")
    assert (fitted.output.classes, fitted.input.mean) == (2, (0.5, 0.5, 0.5))


@pytest.mark.parametrize("given", ["options", "file", "nothing"])
def test_statistics_that_are_given_are_never_measured(folder: Path, tmp_path: Path, given: str) -> None:
    """ImageNet's own, too: that a value is the default does not say that nobody chose it."""
    file, out = tmp_path / "settings.yaml", tmp_path / "run"
    mean, std = ["0.485", "0.456", "0.406"], ["0.2", "0.2", "0.2"]
    statistics = {"mean": [*map(float, mean)], "std": [*map(float, std)]} if given == "file" else {}
    settings = {**TINY, "input": {"channels": 3, "size": 16, **statistics}}
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    options = ["--input.mean", *mean, "--input.std", *std] if given == "options" else []
    place = ["--data", f"folder:{folder}", "--config", str(file), "--device", "cpu", "--threads", "1"]
    assert main(["train", "digits", *place, *options, "--train.steps", "1", "--out", str(out)]) == 0
    found = RunFolder.open(out).config.images
    assert ((found.mean, found.std) == ((0.485, 0.456, 0.406), (0.2, 0.2, 0.2))) == (given != "nothing")


def test_another_data_set_brings_its_way_of_reading(folder: Path) -> None:
    config = settings(folder)
    there = with_data(config, "hub:data").data
    assert there == HubConfig(name=str(Path("data").resolve()), flip=True)
    assert with_data(config, "folder:data").data == replace(config.data, name=str(Path("data").resolve()))
    assert with_data(config, "hub:owner/photos@refs/convert/parquet").data.name == "owner/photos@refs/convert/parquet"
    strict = replace(config, data=replace(there, unreadable_limit=7))
    assert with_data(strict, "hub:other").data.unreadable_limit == 7
    assert with_data(strict, "folder:other").data == FolderConfig(
        name=str(Path("other").resolve()), flip=True, unreadable_limit=7
    )
    with pytest.raises(ConfigError, match=r"must be a known one or a task, got 'mnst'; did you mean 'mnist'\?"):
        with_data(config, "mnst")


def test_commands_train_and_evaluate_on_photos_and_on_published_layouts(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, renditions = tmp_path / "run", tmp_path / "renditions" / "right"
    options = ["--data", f"folder:{folder}", "--input.size", "32", "--train.steps", "2", "--train.accumulation", "1"]
    small = ["--core.ticks", "2", "--train.batch", "4", "--train.tbptt", "1", "--device", "cpu", "--workers", "1"]
    assert main(["train", "imagenet.tiny", *options, *small, "--out", str(run)]) == 0
    assert main(["eval", str(run), "--device", "cpu"]) == 0
    assert "7 test images" in capsys.readouterr().out
    renditions.mkdir(parents=True)
    for file in sorted((folder / "val" / "right").iterdir())[:3]:
        (renditions / file.name).write_bytes(file.read_bytes())
    assert main(["eval", str(run), "--data", f"folder:{renditions.parent}", "--device", "cpu"]) == 0
    assert "3 test images" in capsys.readouterr().out
    assert main(["eval", str(run), "--workers", "-1"]) == 2
    assert main(["train", "imagenet.tiny", *options, "--workers", "-1", "--out", str(tmp_path / "no")]) == 2
    assert not (tmp_path / "no").exists()  # refused before anything is written
    renditions.rename(renditions.parent / "rihgt")
    assert main(["eval", str(run), "--data", f"folder:{renditions.parent}"]) == 2
    assert "did you mean 'right'" in capsys.readouterr().err


def test_the_command_line_trains_on_photos_of_the_hub_and_names_the_place(
    parquet: Path, datasets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(parquet.parent)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    options = ["--config", str(tmp_path / "tiny.yaml"), "--data", f"hub:{parquet.name}", "--input.channels", "3"]
    options += ["--input.mean", "0.5", "0.5", "0.5", "--input.std", "0.2", "0.2", "0.2", "--device", "cpu"]
    out = tmp_path / "run"
    assert main(["train", "digits", *options, "--train.steps", "2", "--workers", "0", "--out", str(out)]) == 0
    assert RunFolder.open(out).config.data == HubConfig(name=str(parquet))


def test_a_constant_channel_becomes_zeros_and_does_not_stop_the_training(tmp_path: Path) -> None:
    """Micrographs of two stains, stored as RGB: blue is empty in every picture."""
    random = np.random.default_rng(0)
    for part in ("train", "val"):
        for label in ("control", "treated"):
            (tmp_path / part / label).mkdir(parents=True)
            for number in range(2):
                pixels = random.integers(0, 256, (16, 16, 3), dtype=np.uint8) * np.uint8([1, 1, 0])
                Image.fromarray(pixels).save(tmp_path / part / label / f"{number}.png")
    config = replace(
        settings(tmp_path, photos="in_memory"), input=ImageConfig(channels=3, size=16, mean=None, std=None)
    )
    splits = read_splits(config)
    with pytest.warns(UserWarning, match="channel 2 is the same in every image; its input.std is 1"):
        fitted = fit_to_data(config, splits)
    assert fit_to_data(fitted, splits) == fitted  # a run that goes on measures nothing
    given = replace(config, input=replace(config.input, std=(0.2, 0.2, 0.2)))
    assert fit_to_data(given, splits).input == replace(fitted.input, std=(0.2, 0.2, 0.2))
    assert (fitted.input.mean[2], fitted.input.std[2]) == (0, 1)
    assert all(0.2 < deviation < 0.4 for deviation in fitted.input.std[:2])

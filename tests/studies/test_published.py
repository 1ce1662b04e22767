"""Photos of a part of the model's classes: enlarged, augmented, and answered among all classes and the part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from tests import slow
from tide.config import ModelConfig, OutputConfig
from tide.corruptions.augmentations import AUGMENTATIONS, perturb
from tide.data import Decoding, ImageSet, to_float
from tide.models.heads import certainty
from tide.studies.robustness import CLEAN, Asked, CellAnswers, Shift, ask, from_folder
from tide.studies.robustness_report import markdown, robustness
from tide.types import ThoughtOutput

WNIDS = ("n01", "n02", "n03", "n04")
SIZE = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny-ImageNet's layout: seven photos of 8 pixels of two of four classes, stored without loss."""
    root = tmp_path_factory.mktemp("tiny-imagenet")
    (root / "val" / "images").mkdir(parents=True)
    lines = []
    for number in range(7):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "val" / "images" / f"val_{number}.png")
        lines.append(f"val_{number}.png\t{'n04' if number % 3 else 'n02'}\t0\t0\t7\t7\n")
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    return root


def other() -> ImageSet:
    """Stand for the model's own test images where no suite may ask for them."""
    raise AssertionError("read")


def test_photos_are_enlarged_bilinearly_and_only_then_augmented(folder: Path) -> None:
    suite = from_folder(folder, WNIDS, SIZE, 3, other, seed=5)
    assert suite.shifts == tuple(Shift(name, None) for name in AUGMENTATIONS)
    assert suite.classes is not None
    assert suite.classes.tolist() == [1, 3]
    assert suite.clean is not None
    clean = suite.clean.select(slice(None))
    numbers = [0, 3, 6, 1, 2, 4, 5]  # sorted by class
    assert clean.labels.tolist() == [1, 1, 1, 3, 3, 3, 3]
    for image, number in zip(clean.images, numbers, strict=True):
        pixels = torch.from_numpy(np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8))
        wanted = functional.interpolate(pixels.permute(2, 0, 1)[None].double(), size=(SIZE, SIZE), mode="bilinear")
        assert (image.double() - wanted[0]).abs().max() <= 1.01
    for shift in suite.shifts:
        found = suite.images(shift, None)
        assert torch.equal(
            found.select(slice(None)).images, perturb(clean.images, shift.name, seed=5, indices=range(7))
        )


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_augmented_photo_is_the_same_in_any_batch_order_and_process(folder: Path, name: str) -> None:
    suite = from_folder(folder, WNIDS, SIZE, 3, other, seed=5)
    photos = suite.images(Shift(name, None), None)
    whole = photos.select(slice(None)).images
    order = torch.tensor([4, 0, 6, 1])
    assert torch.equal(suite.images(Shift(name, None), order).select(slice(None)).images, whole[order])
    for workers in (0, 2 * (name == "rotation")):
        batches = list(photos.decoded_with(Decoding(workers=workers)).batches(3))
        assert torch.equal(torch.cat([batch.images for batch in batches]), whole)


class Reader(nn.Module):
    """Four ticks, four classes: random linear functions of the pixels, so that images are answered differently."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1))
        self.config = ModelConfig(output=OutputConfig(classes=4))
        self.readers = torch.randn(4, SIZE * SIZE, 4, generator=torch.Generator().manual_seed(1)) / 4

    def forward(self, images: torch.Tensor, ticks: int | None = None) -> ThoughtOutput:
        logits = torch.einsum("bp,cpt->bct", images.flatten(1) - 0.5, self.readers)
        return ThoughtOutput(logits, certainty(logits), None, None, {})


def test_answers_among_the_suite_s_classes_against_a_slow_computation(folder: Path, tmp_path: Path) -> None:
    suite = from_folder(folder, WNIDS, SIZE, 1, other)
    model = Reader().eval()
    (tmp_path / "model.safetensors").touch()
    answers = ask([Asked("m", model, tmp_path)], suite, tmp_path / "out", {}, batch=3)["m"]
    said, differ = set(), 0
    for shift in (CLEAN, *suite.shifts):
        cell = answers[shift]
        images = suite.clean if shift == CLEAN else suite.images(shift, None)
        with torch.no_grad():
            logits = model(to_float(images.select(slice(None)).images)).logits
        for place, label in enumerate(cell.label.tolist()):
            ticks = [logits[place, :, tick].double().numpy() for tick in range(4)]
            sure = [slow.certainty(tick) for tick in ticks]
            best = ticks[sure.index(max(sure))]
            assert int(cell.answer[place]) == max(range(4), key=lambda c: best[c])
            exponentials = {c: float(np.exp(best[c])) for c in (1, 3)}
            winner = max(exponentials, key=lambda c: exponentials[c])
            assert int(cell.among_classes().answer[place]) == winner
            wanted = exponentials[winner] / sum(exponentials.values())
            assert float(cell.among_classes().confidence[place]) == pytest.approx(wanted, rel=1e-5)
            assert label in (1, 3)
            said.add(winner)
            differ += int(cell.answer[place]) != winner
    assert (differ > 0, said) == (True, {1, 3})  # else the test says nothing
    result = robustness({"m": answers}, suite, "m")
    assert result["restricted"]["classes"] == 2
    by_hand = np.mean([float((answers[s].restricted == answers[s].label).float().mean()) for s in suite.shifts])
    assert result["restricted"]["models"]["m"]["groups"]["all"]["accuracy"] == pytest.approx(by_hand)
    assert "## Among 2 classes" in markdown(result)
    file = tmp_path / "out" / "cells" / "m" / "clean.safetensors"
    assert torch.equal(CellAnswers.read(file).among_classes().answer, answers[CLEAN].among_classes().answer)


def test_a_suite_of_all_classes_restricts_nothing_and_renditions_are_different_images(tmp_path: Path) -> None:
    for label in WNIDS:
        for file in ("art_0", "toy_0", "toy_1"):
            (tmp_path / label).mkdir(exist_ok=True)
            Image.new("RGB", (9, 9)).save(tmp_path / label / f"{file}.png")
    suite = from_folder(tmp_path, WNIDS, SIZE, 3, other)
    assert (suite.classes, suite.same_images) == (None, False)
    right = {"art": [True, False, True, True], "toy": [False] * 8}
    cells = {Shift(kind, None): made(answers) for kind, answers in right.items()}
    never = {shift: made([False] * len(cell.label)) for shift, cell in cells.items()}
    result = robustness({"never": never, "some": cells}, suite, "never")
    assert result["images"] == 12
    group = result["models"]["some"]["groups"]["all"]
    assert (group["accuracy"], group["difference"]["mean"]) == (pytest.approx(3 / 12), pytest.approx(3 / 12))
    assert "restricted" not in result


def made(right: list[bool]) -> CellAnswers:
    """Answers to as many images as there are, right where it says so."""
    n = len(right)
    half, answer = torch.full((n,), 0.5), torch.tensor([0 if yes else 1 for yes in right])
    return CellAnswers(torch.arange(n), torch.zeros(n, dtype=torch.long), answer, half, half, torch.ones(n), None)

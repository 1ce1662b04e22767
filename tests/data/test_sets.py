"""Checks of labelled images and their statistics."""

import pytest
import torch

from tide.data import ImageSet, Splits, load, statistics

IMAGES = torch.zeros(4, 3, 5, 5, dtype=torch.uint8)
LABELS = torch.tensor([0, 1, 1, 0])
CLASSES = ("cat", "dog")


def test_holds_what_it_was_given():
    images = ImageSet(IMAGES, LABELS, CLASSES)
    assert len(images) == 4
    assert images.images is IMAGES


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

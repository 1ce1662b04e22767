"""Published shifted test sets: layouts labelled by the model's class names, arrays, and which copy a folder holds."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tide.data import load, load_test_photos, open_photos
from tide.data.folders import read_annotations
from tide.data.shifted import (
    check_same_photos,
    checksum_of_files,
    checksum_of_photos,
    cifar_c_names,
    mnist_c_names,
    read_cifar_c,
    read_mnist_c,
)

MODEL = ("ant", "bee", "cat", "dog")


def fill(folder: Path, *names: str) -> Path:
    """Put a photo under each of the names, each a little brighter."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (6, 6), 10 * number).save(folder / name, "JPEG")
    return folder


def tiny_imagenet(folder: Path, lines: Sequence[str]) -> Path:
    fill(folder / "train", "dog/images/dog_0.JPEG", "ant/images/ant_0.JPEG", "ant/images/ant_1.JPEG")
    (folder / "train" / "ant" / "ant_boxes.txt").write_text("ant_0.JPEG\t0\t0\t6\t6\n")
    fill(folder / "val" / "images", "val_0.JPEG", "val_1.JPEG", "val_2.JPEG")
    (folder / "val" / "val_annotations.txt").write_text("".join(f"{line}\n" for line in lines))
    return folder


BOX = "\t0\t0\t5\t5"
LINES = (f"val_2.JPEG\tant{BOX}", f"val_0.JPEG\tdog{BOX}", f"val_1.JPEG\tant{BOX}")


def found(folder: Path, **options: object) -> list[tuple[str, int]]:
    """Return the names and labels of the photos, and decode each to see that labels and photos belong together."""
    photos = load_test_photos(folder, MODEL, 4, 1, **options)
    assert photos.classes == MODEL
    (batch,) = photos.batches(100)
    assert batch.labels.tolist() == photos.labels.tolist()
    files = [Path(photos.source.name(position)) for position in range(len(photos))]
    return [(str(file.relative_to(folder)), label) for file, label in zip(files, batch.labels.tolist(), strict=True)]


def test_class_folders_may_have_a_part_of_the_classes(tmp_path):
    fill(tmp_path, "dog/2.jpg", "bee/1.jpg", "dog/1.jpg", ".cache/1.jpg")
    (tmp_path / "README.txt").write_text("hello")
    assert found(tmp_path) == [("bee/1.jpg", 1), ("dog/1.jpg", 3), ("dog/2.jpg", 3)]


def test_the_test_part_of_a_training_folder(tmp_path):
    fill(tmp_path, "train/ant/1.jpg", "train/cat/1.jpg", "val/cat/1.jpg", "val/ant/1.jpg")
    assert found(tmp_path) == [("val/ant/1.jpg", 0), ("val/cat/1.jpg", 2)]


def test_one_corruption_and_severity(tmp_path, refuses):
    fill(tmp_path, "fog/1/ant/1.jpg", "fog/1/dog/1.jpg", "fog/5/ant/1.jpg", "gaussian_noise/3/cat/1.jpg")
    assert found(tmp_path, corruption="fog", severity=1) == [("fog/1/ant/1.jpg", 0), ("fog/1/dog/1.jpg", 3)]
    assert found(tmp_path, corruption="gaussian_noise", severity=3) == [("gaussian_noise/3/cat/1.jpg", 2)]
    for options, parts in (
        ({}, ("corruption must be one of its 2, got None", "known: fog, gaussian_noise")),
        ({"corruption": "gausian_noise", "severity": 3}, ("'gausian_noise'", "did you mean 'gaussian_noise'?")),
        ({"corruption": "fog"}, ("fog: severity must be one of 1, 5, got None",)),
        ({"corruption": "fog", "severity": 3}, ("fog: severity must be one of 1, 5, got 3",)),
        ({"corruption": "fog", "severity": 6}, ("got 6",)),
    ):
        with refuses(tmp_path, *parts):
            load_test_photos(tmp_path, MODEL, 4, 1, **options)


@pytest.mark.parametrize("size", [24, 48])
def test_photos_that_are_published_cropped_keep_their_border(tmp_path, size):
    """ImageNet-C at 224 pixels is what remains of the centre crop: a second one would cut an eighth off."""
    framed = Image.new("L", (24, 24), 255)
    framed.paste(100, (1, 1, 23, 23))
    for name in ("c/fog/3/ant", "r/bee"):
        (tmp_path / name).mkdir(parents=True)
        framed.save(tmp_path / name / "1.png")
    whole = (
        load_test_photos(tmp_path / "c", MODEL, size, 1, corruption="fog", severity=3),
        load_test_photos(tmp_path / "c" / "fog" / "3", MODEL, size, 1),
    )
    for photos in whole:
        (image,) = photos.select(slice(None)).images
        assert (image[0, 0] == 255).all()
        assert (image[0, :, -1] == 255).all()
        if size == 24:
            assert torch.equal(image[0], torch.from_numpy(np.array(framed)))
    (image,) = load_test_photos(tmp_path / "r", MODEL, size, 1, crop=0.875).select(slice(None)).images
    assert image.max() < 150  # renditions are photos of any size, of which the published protocol cuts


def test_classes_that_are_called_like_severities_are_classes(tmp_path):
    fill(tmp_path, "1/1.jpg", "2/1.jpg")
    assert load_test_photos(tmp_path, ("2", "1"), 4, 1).labels.tolist() == [1, 0]


def test_annotated_photos(tmp_path):
    assert found(tiny_imagenet(tmp_path, LINES)) == [
        ("val/images/val_1.JPEG", 0),
        ("val/images/val_2.JPEG", 0),
        ("val/images/val_0.JPEG", 3),
    ]


def test_annotated_photos_can_be_trained_on_in_memory_and_not(tmp_path):
    name = f"folder:{tiny_imagenet(tmp_path, LINES)}"
    opened, loaded = open_photos(name, size=4, channels=1), load(name, size=4, channels=1)
    for photos, images in ((opened.train, loaded.train), (opened.test, loaded.test)):
        assert photos.classes == images.classes == ("ant", "dog")
        assert photos.labels.tolist() == images.labels.tolist() == [0, 0, 1]
    assert opened.train.source.name(2) == str(tmp_path / "train" / "dog" / "images" / "dog_0.JPEG")


@pytest.mark.parametrize(
    ("lines", "parts"),
    [
        ((*LINES[:1], "val_0.JPEG dog", LINES[2]), ("line 2 must hold a photo", "got 'val_0.JPEG dog'")),
        ((LINES[0], "", *LINES[1:]), ("line 2 must", "got ''")),
        ((*LINES[:2], f"val_1.JPEG\t{BOX}"), ("line 3 must", "got 'val_1.JPEG\\t\\t0")),
        (LINES[:2], ("no line for 'val_1.JPEG' in 2 lines",)),
        ((*LINES, f"val_3.JPEG\tant{BOX}"), ("line 4: the photo must lie in", "val/images, got 'val_3.JPEG'")),
        ((*LINES, LINES[1]), ("line 4: a photo must have one line, got 'val_0.JPEG' again",)),
    ],
)
def test_refuses_damaged_annotations(lines, parts, tmp_path, refuses):
    tiny_imagenet(tmp_path, lines)
    with refuses(tmp_path / "val" / "val_annotations.txt", *parts):
        load_test_photos(tmp_path, MODEL, 4, 1)


def test_refuses_annotations_that_cannot_be_read(tmp_path, refuses):
    path = tmp_path / "val_annotations.txt"
    with refuses(path, "No such file"):
        read_annotations(path, [])
    path.write_bytes(b"\xff\n")
    with refuses(path, "bytes that are no UTF-8"):
        read_annotations(path, [])
    path.write_bytes(b"")
    with refuses(path, "no lines"):
        read_annotations(path, [])


def test_refuses_classes_that_the_model_does_not_know(tmp_path, refuses):
    fill(tmp_path, "ant/1.jpg", "beee/1.jpg", "zebra/1.jpg")
    with refuses(tmp_path, "among the model's 4, got 2 of 3 others", "'beee'", "did you mean 'bee'?"):
        load_test_photos(tmp_path, MODEL, 4, 1)
    with refuses("'ant'", "known: x, y"):
        load_test_photos(tmp_path, ("x", "y"), 4, 1)
    with refuses("'ant'", "the model's 30", "the first is 'n0'"):
        load_test_photos(tmp_path, [f"n{number}" for number in range(30)], 4, 1)


def test_refuses_folders_of_no_known_layout(tmp_path, refuses):
    with refuses(tmp_path / "lost", "must be a folder"):
        load_test_photos(tmp_path / "lost", MODEL, 4, 1)
    with refuses(tmp_path, "0 photos and no folders", "CORRUPTION/SEVERITY/CLASS/"):
        load_test_photos(tmp_path, MODEL, 4, 1)
    fill(tmp_path, "1.jpg", "a/b/c/1.jpg", "d/e/1.jpg", "f/g/1.jpg", "h/i/1.jpg")
    with refuses(tmp_path, "1 photos and a/, d/, f/, ..."):
        load_test_photos(tmp_path, MODEL, 4, 1)
    with refuses(tmp_path / "d", "no folders CORRUPTION/SEVERITY/CLASS/", "'fog'", "severity 2"):
        load_test_photos(tmp_path / "d", ("e",), 4, 1, corruption="fog", severity=2)
    with refuses("photo size must be"):
        load_test_photos(tmp_path / "d", ("e",), None, 1)


NAMES = tuple("abcdefghij")
COUNT = 4


@pytest.fixture
def cifar(tmp_path: Path) -> Path:
    """Severity s of image n is full of 10 s + n."""
    values = [10 * severity + number for severity in range(1, 6) for number in range(COUNT)]
    images = np.array(values, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), dtype=np.uint8)
    np.save(tmp_path / "fog.npy", images)
    np.save(tmp_path / "labels.npy", np.tile(np.arange(COUNT), 5).astype(np.uint8))
    return tmp_path


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    for number, name in enumerate(("identity", "zigzag")):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "test_images.npy", np.full((COUNT, 28, 28, 1), number, dtype=np.uint8))
        np.save(tmp_path / name / "test_labels.npy", np.arange(COUNT, dtype=np.int64))
    return tmp_path


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_cifar_c_is_cut_into_its_severities(cifar: Path, severity: int) -> None:
    assert cifar_c_names(cifar) == ("fog",)
    found = read_cifar_c(cifar, "fog", severity, NAMES)
    assert found.shape == (3, 8, 8)
    assert found.images[:, 2, 7, 7].tolist() == [10 * severity + number for number in range(COUNT)]
    assert found.labels.tolist() == list(range(COUNT))
    np.save(cifar / "labels.npy", np.arange(COUNT))  # the labels of one severity serve all
    assert read_cifar_c(cifar, "fog", severity, NAMES).labels.tolist() == list(range(COUNT))


def test_mnist_c_has_a_folder_for_each_corruption(mnist: Path) -> None:
    assert mnist_c_names(mnist) == ("identity", "zigzag")
    found = read_mnist_c(mnist, "zigzag", NAMES)
    assert found.images.shape == (COUNT, 1, 28, 28)
    assert found.images.unique().tolist() == [1]
    assert found.labels.tolist() == list(range(COUNT))


def test_what_is_wrong_is_said_in_one_line(cifar: Path, refuses) -> None:
    with refuses("got 'fgo'", "did you mean 'fog'"):
        read_cifar_c(cifar, "fgo", 1, NAMES)
    with refuses("severity must be 1 to 5, got 6"):
        read_cifar_c(cifar, "fog", 6, NAMES)
    with refuses("label must be 0..1 for 2 classes, got 3"):
        read_cifar_c(cifar, "fog", 1, NAMES[:2])
    np.save(cifar / "labels.npy", np.arange(COUNT + 1))
    with refuses(f"{COUNT * 5} images of fog and {COUNT + 1} labels"):
        read_cifar_c(cifar, "fog", 1, NAMES)
    np.save(cifar / "labels.npy", np.zeros(COUNT))
    with refuses("labels.npy must be integers", "got float64 of shape (4,)"):
        read_cifar_c(cifar, "fog", 1, NAMES)
    (cifar / "fog.npy").write_bytes((cifar / "fog.npy").read_bytes()[:200])
    with refuses("fog.npy: unreadable array"):
        read_cifar_c(cifar, "fog", 1, NAMES)
    np.save(cifar / "fog.npy", np.zeros((20, 8, 8), dtype=np.uint8))
    with refuses("fog.npy must be uint8", "got uint8 of shape (20, 8, 8)"):
        read_cifar_c(cifar, "fog", 1, NAMES)


SHIFTS = ("fog/1", "fog/5", "snow/1")
PHOTOS = ("ant/1.png", "ant/2.png", "bee/1.png")


def published(root: Path, colour: int = 10) -> Path:
    for shift in SHIFTS:
        for photo in PHOTOS:
            (root / shift / photo).parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 4), colour).save(root / shift / photo)
    return root


def identity(root: Path) -> tuple[tuple[str, ...], int]:
    return check_same_photos(root, {shift: root / shift for shift in SHIFTS})


def test_a_set_is_the_same_wherever_it_lies_and_another_with_other_photos(tmp_path):
    first, moved = published(tmp_path / "a" / "imagenet-c"), published(tmp_path / "b" / "moved")
    classes, checksum = identity(first)
    assert (classes, identity(moved)[1]) == (("ant", "bee"), checksum)
    assert identity(published(tmp_path / "c" / "imagenet-c", colour=11))[1] != checksum
    for shift in SHIFTS:
        (moved / shift / "bee" / "1.png").rename(moved / shift / "bee" / "2.png")
    assert identity(moved)[1] != checksum


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (
            lambda root: (root / "fog/5/ant/2.png").unlink(),
            ("photo ant/2 must be in every shift, got it in fog/1 but not in fog/5",),
        ),
        (
            lambda root: (root / "fog/1/ant/1.png").unlink(),
            ("photo ant/1 must be in every shift, got it in fog/5 but not in fog/1",),
        ),
        (
            lambda root: shutil.rmtree(root / "snow/1/bee"),
            ("photo bee/1 must be in every shift, got it in fog/1 but not in snow/1",),
        ),
    ],
)
def test_refuses_shifts_of_other_photos(tmp_path, refuses, change, parts):
    root = published(tmp_path)
    change(root)
    with refuses(root, *parts, "restore the published files"):
        identity(root)


def test_photos_may_be_stored_in_another_format_under_another_shift(tmp_path):
    root = published(tmp_path)
    (root / "snow/1/ant/1.png").rename(root / "snow/1/ant/1.JPEG")
    assert identity(root)[0] == ("ant", "bee")


def test_sets_of_photos_and_of_arrays_are_told_apart(tmp_path, refuses):
    for folder, colour in (("a", 10), ("b", 10), ("c", 11)):
        published(tmp_path / folder, colour)
    roots = [tmp_path / folder / "fog" for folder in "abc"]
    photos = [load_test_photos(root / "1", ("ant", "bee"), 4, 1) for root in roots]
    same, again, other = (checksum_of_photos(root, some) for root, some in zip(roots, photos, strict=True))
    assert same == again != other
    file = tmp_path / "x.npy"
    file.write_bytes(bytes(70_000))
    short = checksum_of_files(tmp_path, [file])
    file.write_bytes(bytes(70_001))
    assert checksum_of_files(tmp_path, [file]) != short
    with refuses(tmp_path / "lost.npy", "No such file"):
        checksum_of_files(tmp_path, [tmp_path / "lost.npy"])

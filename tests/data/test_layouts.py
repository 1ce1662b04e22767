"""Published test sets, recognised by their folders and labelled by the model's class names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tide.data import load, load_test_photos, open_photos
from tide.data.photos.folders import read_annotations

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
        ({}, ("corruption is None", "one of its 2", "known: fog, gaussian_noise")),
        ({"corruption": "gausian_noise", "severity": 3}, ("'gausian_noise'", "did you mean 'gaussian_noise'?")),
        ({"corruption": "fog"}, ("fog: severity is None, one of 1, 5 is wanted",)),
        ({"corruption": "fog", "severity": 3}, ("fog: severity is 3, one of 1, 5 is wanted",)),
        ({"corruption": "fog", "severity": 6}, ("severity is 6",)),
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
        ((*LINES[:1], "val_0.JPEG dog", LINES[2]), ("line 2 is 'val_0.JPEG dog'", "between tabs")),
        ((LINES[0], "", *LINES[1:]), ("line 2 is ''",)),
        ((*LINES[:2], f"val_1.JPEG\t{BOX}"), ("line 3 is 'val_1.JPEG\\t\\t0",)),
        (LINES[:2], ("no line for 'val_1.JPEG' in 2 lines",)),
        ((*LINES, f"val_3.JPEG\tant{BOX}"), ("line 4: the photo is 'val_3.JPEG', one that lies in", "val/images")),
        ((*LINES, LINES[1]), ("line 4: 'val_0.JPEG' is there again",)),
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
    with refuses(tmp_path, "2 of 3 classes", "'beee'", "the model's 4", "did you mean 'bee'?"):
        load_test_photos(tmp_path, MODEL, 4, 1)
    with refuses("'ant'", "known: x, y"):
        load_test_photos(tmp_path, ("x", "y"), 4, 1)
    with refuses("'ant'", "the model's 30 are wanted", "the first is 'n0'"):
        load_test_photos(tmp_path, [f"n{number}" for number in range(30)], 4, 1)


def test_refuses_folders_of_no_known_layout(tmp_path, refuses):
    with refuses(tmp_path / "lost", "no folder"):
        load_test_photos(tmp_path / "lost", MODEL, 4, 1)
    with refuses(tmp_path, "0 photos and no folders", "CORRUPTION/SEVERITY/CLASS/"):
        load_test_photos(tmp_path, MODEL, 4, 1)
    fill(tmp_path, "1.jpg", "a/b/c/1.jpg", "d/e/1.jpg", "f/g/1.jpg", "h/i/1.jpg")
    with refuses(tmp_path, "1 photos and a/, d/, f/, ..."):
        load_test_photos(tmp_path, MODEL, 4, 1)
    with refuses(tmp_path / "d", "no folders CORRUPTION/SEVERITY/CLASS/", "'fog'", "severity 2"):
        load_test_photos(tmp_path / "d", ("e",), 4, 1, corruption="fog", severity=2)
    with refuses("photo size is None"):
        load_test_photos(tmp_path / "d", ("e",), None, 1)

"""Which copy of a test set a folder holds: the same wherever it lies, another where a photo differs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from tide.data import load_test_photos
from tide.data.shifted.identity import check_same_photos, checksum_of_files, checksum_of_photos

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
        (lambda root: (root / "fog/5/ant/2.png").unlink(), ("photo ant/2 is in fog/1 but not in fog/5",)),
        (lambda root: (root / "fog/1/ant/1.png").unlink(), ("photo ant/1 is in fog/5 but not in fog/1",)),
        (lambda root: shutil.rmtree(root / "snow/1/bee"), ("photo bee/1 is in fog/1 but not in snow/1",)),
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

"""Photo folders."""

import os
import shutil
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from tide.data import load, open_photos
from tide.errors import did_you_mean


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes with two training photos and one for validation each, and things to be left out."""
    for number, name in enumerate(("cat", "dog")):
        for path in (f"train/{name}/b.JPEG", f"train/{name}/a.png", f"val/{name}/c.Webp"):
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            kind = {"JPEG": "JPEG", "png": "PNG", "Webp": "WEBP"}[path.rpartition(".")[2]]
            Image.new("L", (12, 8), 100 * number + (10 if "a." in path else 20)).save(file, kind)
    (tmp_path / "train" / ".cache").mkdir()
    (tmp_path / "train" / "README.txt").write_text("hello")
    (tmp_path / "train" / "cat" / "notes.txt").write_text("hello")
    (tmp_path / "train" / "cat" / "._a.png").write_bytes(b"no photo")
    return tmp_path


def test_loads_sorted_classes_and_photos(photos):
    splits = load(f"folder:{photos}", size=4, channels=1)
    assert splits.name == f"folder:{photos}"
    assert splits.train.classes == splits.test.classes == ("cat", "dog")
    assert splits.train.images.shape == (4, 1, 4, 4)
    assert splits.train.labels.tolist() == [0, 0, 1, 1]
    assert splits.test.labels.tolist() == [0, 1]
    values = splits.train.images[:, 0, 0, 0].int().tolist()
    assert values == pytest.approx([10, 20, 110, 120], abs=1)


@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        (lambda d: (d / "train").rename(d / "learn"), ("no folder 'train'", "val/CLASS/")),
        (lambda d: (d / "val").rename(d / "held"), ("no folder 'val'",)),
        (lambda d: (d / "train" / "cow").mkdir(), ("train/cow", "no photos", "add photos or remove the folder")),
        (
            lambda d: (d / "val" / "dog").rename(d / "lost"),
            ("class 'dog' must be in both parts, got it in train but not in val",),
        ),
        (
            lambda d: (d / "val" / "dog").rename(d / "val" / "eel"),
            ("class 'dog' must be in both parts, got it in train but not in val",),
        ),
        (
            lambda d: (d / "train" / "dog").rename(d / "lost"),
            ("class 'dog' must be in both parts, got it in val but not in train",),
        ),
        (lambda d: (d / "val").rename(d / "lost") and (d / "val").mkdir(), ("val: no class folders",)),
    ],
)
def test_refuses_inconsistent_folders(damage, parts, photos, refuses):
    damage(photos)
    with refuses(photos, *parts):
        load(f"folder:{photos}", size=4, channels=1)


def test_names_that_differ_in_their_unicode_form_only_are_told_apart_aloud(photos, refuses):
    """A folder that was copied from a Mac has é as two characters."""
    one, two = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    for part, name in (("train", one), ("val", two)):
        (photos / part / "cat").rename(photos / part / name)
    with refuses("must be spelled alike in both parts", "another Unicode form", ascii(two)):
        open_photos(f"folder:{photos}", size=8, channels=3)
    shutil.copytree(photos / "train" / one, photos / "train" / two)
    with refuses("must have one folder", "another Unicode form"):
        open_photos(f"folder:{photos}", size=8, channels=3)
    assert did_you_mean(one, ["tea", two]) == f"; {two!r} differs in its Unicode form only, rename one of them"


def test_names_of_classes_that_are_no_text_are_refused(photos, refuses):
    (photos / "train" / "cat").rename(photos / "train" / os.fsdecode(b"caf\xe9"))
    with refuses(r"class 'caf\udce9' must be written in UTF-8"):
        open_photos(f"folder:{photos}", size=8, channels=3)


def test_what_is_found_and_what_is_left_out_is_said_once(photos):
    """Parts may have other names, in capitals; kinds that Pillow reads are photos, all else is counted."""
    (photos / "val").rename(photos / "Test")
    (photos / "train").rename(photos / "TRAIN")
    cat = photos / "TRAIN" / "cat"
    for kind in ("gif", "tif", "ppm"):
        Image.new("L", (12, 8), 50).save(cat / f"z.{kind}")
    (cat / "clip.mp4").write_bytes(b"")
    (cat / "inner").mkdir()
    (cat / "gone.png").symlink_to(photos / "nowhere.png")
    splits = load(f"folder:{photos}", size=4, channels=1)
    assert splits.train.images[:, 0, 0, 0].int().tolist() == pytest.approx([10, 20, 50, 50, 50, 110, 120], abs=1)
    assert splits.summary == (
        f"{photos}: 7 photos in 2 classes in TRAIN/, 2 photos in 2 classes in Test/; 4 files left out "
        "(.mp4 1, .txt 1, broken links 1, ...)"
    )


def test_unreadable_photos_are_left_out_up_to_a_limit(photos, refuses):
    bad = photos / "train" / "cat" / "bad.bmp"
    bad.write_bytes(b"no photo")
    with pytest.warns(UserWarning, match="bad.bmp: unreadable photo"):
        splits = load(f"folder:{photos}", size=4, channels=1, limit=1)
    assert splits.train.labels.tolist() == [0, 0, 1, 1]
    with pytest.warns(UserWarning, match="bad.bmp"), refuses("at most 0 photos may be unreadable, got 1", str(bad)):
        load(f"folder:{photos}", size=4, channels=1, limit=0)


def test_size_and_channels_are_needed(photos, refuses):
    with refuses("photo size must be at least 1, got None"):
        load(f"folder:{photos}", channels=3)
    with refuses("photo channels must be 1 for grey or 3 for colour, got None"):
        load(f"folder:{photos}", size=8)


def test_loads_real_photos(real_data):
    splits = load(f"folder:{real_data('imagenet-mini') / 'imagenet-mini'}", size=32, channels=3)
    assert (len(splits.train), len(splits.test), len(splits.train.classes)) == (70, 50, 5)
    assert 80 < splits.train.images.float().mean() < 150

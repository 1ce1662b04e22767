"""Photos decoded when they are used: what a set holds, and its batches in test and in training order."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tide.data import Batch, Decoding, PhotoFiles, PhotoSet, Splits, batch_indices, derive_seed, open_photos
from tide.data.decode import centre_crop, decode_part, random_crop

NAMES = ("cat", "dog", "eel")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes of four training and two validation photos of noise, no two alike, in several shapes."""
    random = np.random.default_rng(5)
    for part, count in (("train", 4), ("val", 2)):
        for name in NAMES:
            for number in range(count):
                file = tmp_path / part / name / f"{number}.{'png' if number % 2 else 'jpg'}"
                file.parent.mkdir(parents=True, exist_ok=True)
                coarse = random.integers(0, 256, (5, 6 - number, 3), dtype=np.uint8)
                Image.fromarray(coarse).resize((64 - 9 * number, 40)).save(file)
    return tmp_path


@pytest.fixture
def photos(folder: Path) -> PhotoSet:
    return open_photos(f"folder:{folder}", size=16, channels=3).train


def requests(count: int, first: int = 0, steps: int = 5, batch: int = 5) -> Iterator[tuple[Tensor, int]]:
    """Ask for training batches ``first``, ``first + 1``, ... of a run."""
    for step in range(first, steps):
        yield batch_indices(count, batch, step, 7), derive_seed(11, step)


def damage(photos: PhotoSet, *positions: int) -> None:
    """Damage photos in three ways: no bytes, half of them, others."""
    for position in positions:
        path = Path(photos.source.name(position))
        path.write_bytes((b"", path.read_bytes()[: path.stat().st_size // 2], b"no photo")[position % 3])


def same(left: list[Batch], right: list[Batch]) -> bool:
    return len(left) == len(right) and all(
        torch.equal(a, b) for pair in zip(left, right, strict=True) for a, b in zip(*pair, strict=True)
    )


def test_a_folder_is_opened_without_opening_photos(folder, monkeypatch):
    monkeypatch.setattr("PIL.Image.open", None)
    splits = open_photos(f"folder:{folder}", size=16, channels=1)
    assert splits.name == f"folder:{folder}"
    assert (len(splits.train), len(splits.test)) == (12, 6)
    assert splits.train.classes == splits.test.classes == NAMES
    assert splits.train.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert splits.test.shape == (1, 16, 16)
    assert splits.test.source.name(3) == str(folder / "val" / "dog" / "1.png")


def test_files_keep_their_names():
    names = ["a.jpg", "", "Zoë/ü.png", os.fsdecode(b"\xff.bmp")]
    files = PhotoFiles(names)
    assert [files.open(index) for index in range(len(files))] == names


def test_refuses_what_is_no_set_of_photos(folder, photos, refuses):
    with refuses("photos must be folder:DIR or hub:DIR, got 'mnist'"):
        open_photos("mnist", size=8, channels=1)
    with refuses("photo size must be at least 1, got None"):
        open_photos(f"folder:{folder}", channels=1)
    with refuses("photo channels must be"):
        PhotoSet(photos.source, photos.labels, NAMES, 8, 2)
    with refuses("number of photos must be at least 1, got 0"):
        PhotoSet(PhotoFiles(()), photos.labels[:0], NAMES, 8, 3)
    with refuses("labels must be int64 of shape (12,), got int32"):
        PhotoSet(photos.source, photos.labels.int(), NAMES, 8, 3)
    with refuses("got int64 of shape (11,)"):
        PhotoSet(photos.source, photos.labels[1:], NAMES, 8, 3)
    with refuses("label must be 0..1 for 2 classes, got 2"):
        PhotoSet(photos.source, photos.labels, NAMES[:2], 8, 3)
    other = PhotoSet(photos.source, photos.labels, NAMES, 8, 3)
    with refuses("tests: test images must be of shape (3, 16, 16) as in training, got (3, 8, 8)"):
        Splits("tests", photos, other)
    with refuses("tests: test class 1 must be 'dog' as in training, got 'elk'"):
        Splits("tests", photos, PhotoSet(photos.source, photos.labels, ("cat", "elk", "eel"), 16, 3))
    (folder / "val" / "elk").mkdir()
    (folder / "val" / "elk" / "1.png").write_bytes(b"")
    with refuses("class 'elk' must be in both parts, got it in val but not in train"):
        open_photos(f"folder:{folder}", size=8, channels=3)


def test_test_order_is_every_photo_once_in_the_middle(photos):
    batches = list(photos.batches(5))
    assert [len(batch.images) for batch in batches] == [5, 5, 2]
    assert torch.cat([batch.positions for batch in batches]).tolist() == list(range(12))
    assert torch.equal(torch.cat([batch.labels for batch in batches]), photos.labels)
    images = torch.cat([batch.images for batch in batches])
    assert images.dtype == torch.uint8
    for position, image in enumerate(images):
        slow = decode_part(photos.source.name(position), 16, 3, lambda width, height: centre_crop(width, height, 16))
        assert torch.equal(image, slow)
    (chosen,) = photos.batches(5, positions=torch.tensor([9, 2]))
    assert chosen.positions.tolist() == [9, 2]
    assert torch.equal(chosen.images, images[[9, 2]])


def test_training_order_crops_each_slot_by_its_seed_and_number(photos):
    mirrored = []
    for (index, seed), batch in zip(requests(12), photos.crops(requests(12)), strict=True):
        assert batch.images.shape == (5, 3, 16, 16)
        assert torch.equal(batch.positions, index)
        assert torch.equal(batch.labels, photos.labels[index])
        for slot, image in enumerate(batch.images):
            draws = Random(derive_seed(seed, slot))
            mirrored.append(draws.random() < 0.5)
            slow = decode_part(photos.source.name(int(index[slot])), 16, 3, partial(random_crop, draws=draws))
            assert torch.equal(image, slow.flip(2) if mirrored[-1] else slow)
    assert 5 < sum(mirrored) < 20


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_and_any_start_give_the_same(workers, photos):
    damage(photos, 2, 9)
    state = torch.get_rng_state()
    assert same(list(photos.decoded_with(Decoding(workers=workers)).batches(4)), list(photos.batches(4)))
    wanted = list(photos.crops(requests(12)))
    assert same(list(photos.decoded_with(Decoding(workers=workers)).crops(requests(12))), wanted)
    assert same(list(photos.decoded_with(Decoding(workers=workers)).crops(requests(12, first=2))), wanted[2:])
    assert torch.equal(torch.get_rng_state(), state)  # dropout does not depend on how photos are loaded


def test_what_workers_get_can_be_sent_to_them(photos):
    copy = pickle.loads(pickle.dumps(photos.part(torch.tensor([3, 4]))))
    request = [(torch.tensor([1, 0]), 5)]
    assert same(list(copy.crops(request)), list(photos.part(torch.tensor([3, 4])).crops(request)))


def test_unreadable_photos_are_left_out_of_tests_and_reported_once(photos, refuses):
    damage(photos, 0, 4, 5, 11)
    lines: list[str] = []
    for workers in (0, 2):
        batches = list(photos.decoded_with(Decoding(workers=workers, limit=4, on_unreadable=lines.append)).batches(2))
        assert [len(batch.images) for batch in batches] == [1, 2, 2, 2, 1]  # positions 4 and 5 were a batch
        assert torch.cat([batch.positions for batch in batches]).tolist() == [1, 2, 3, 6, 7, 8, 9, 10]
        assert torch.cat([batch.labels for batch in batches]).tolist() == [0, 0, 0, 1, 1, 2, 2, 2]
    assert list(photos.unreadable) == [0, 4, 5, 11]
    assert lines == list(photos.unreadable.values())
    for line, position in zip(lines, photos.unreadable, strict=True):
        assert line.startswith(f"{photos.source.name(position)}: unreadable photo (")
        assert "\n" not in line


def test_unreadable_photos_are_replaced_by_the_next_in_training(photos):
    (whole,) = photos.crops([(torch.tensor([1, 0, 6, 0]), 3)])
    damage(photos, 0, 4, 5, 11, 10)
    lines: list[str] = []
    for workers in (0, 1):
        index = torch.tensor([11, 0, 4, 10])  # after 10 and 11 comes 0, which is unreadable as well, and then 1
        (batch,) = photos.decoded_with(Decoding(workers=workers, on_unreadable=lines.append)).crops([(index, 3)])
        assert batch.positions.tolist() == [1, 1, 6, 1]
        assert batch.labels.tolist() == [0, 0, 1, 0]
        assert torch.equal(batch.images[[0, 2]], whole.images[[0, 2]])  # slots crop alike, whatever was tried before
    assert sorted(photos.unreadable) == [0, 4, 5, 10, 11]
    assert lines == list(photos.unreadable.values())


@pytest.mark.parametrize("workers", [0, 1])
def test_too_many_unreadable_photos_end_the_stream(workers: int, photos: PhotoSet, refuses: Callable):
    damage(photos, 1, 4, 7)
    first, last = photos.source.name(1), photos.source.name(7)
    with refuses("at most 2 photos may be unreadable, got 3", f"the first is {first}, the last {last}"):
        list(photos.decoded_with(Decoding(workers=workers, limit=2)).batches(3))
    with refuses("at most 2 photos may be unreadable, got 3"):  # known ones count, too
        list(photos.decoded_with(Decoding(workers=workers, limit=2)).crops([(torch.tensor([1]), 0)]))
    photos.unreadable.clear()
    with refuses("at most 0 photos may be unreadable, got 1", f"the first is {first}, the last {first}"):
        list(photos.decoded_with(Decoding(workers=workers, limit=0)).batches(3))


def test_a_set_without_readable_photos_is_refused(photos, refuses):
    damage(photos, *range(12))
    with refuses("at least one photo must be readable, got 12 unreadable ones", photos.source.name(0)):
        list(photos.batches(5))
    with refuses("at least one photo must be readable, got 12 unreadable ones"):
        next(photos.crops(requests(12)))
    with refuses("at most 3 photos may be unreadable, got 12"):
        next(photos.decoded_with(Decoding(limit=3)).crops(requests(12)))


def test_refuses_wrong_arguments(photos, refuses):
    with refuses("batch must be at least 1, got 0"):
        photos.batches(0)
    with refuses("workers must be"):
        photos.decoded_with(Decoding(workers=-1)).batches(1)
    with refuses("limit must be"):
        photos.decoded_with(Decoding(limit=-1)).crops([])
    with refuses("position must be 0..11 for 12 photos, got 12"):
        photos.batches(1, positions=torch.tensor([3, 12]))
    with refuses("positions must be int64 of shape (B,)", "float32 of shape (1,)"):
        photos.batches(1, positions=torch.ones(1))
    for workers in (0, 1):
        stream = photos.decoded_with(Decoding(workers=workers)).crops([(torch.tensor([3]), 1), (torch.tensor([-1]), 1)])
        assert next(stream).positions.tolist() == [3]
        with refuses("position must be 0..11 for 12 photos, got -1"):
            next(stream)
    assert list(photos.crops([])) == []


def test_photos_in_memory_are_those_of_the_test_order_and_unreadable_ones_are_named(photos, refuses):
    assert torch.equal(photos.select(slice(None)).images, torch.cat([batch.images for batch in photos.batches(5)]))
    damage(photos, 2)
    with pytest.warns(UserWarning, match="unreadable photo"):
        some = photos.select(torch.tensor([3, 2, 11]))
    assert some.labels.tolist() == [0, 2]
    with refuses("at least one photo must be readable, got 1 unreadable ones", photos.source.name(2)):
        photos.select(slice(2, 3))

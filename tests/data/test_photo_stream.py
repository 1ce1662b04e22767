"""Photos streamed out of Parquet files: the same pictures as from the whole table, each file read once an epoch."""

from __future__ import annotations

import multiprocessing
import re
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.parquet import NAMES, encoded, write
from tide.data import Decoding, PhotoStream, derive_seed, open_photos
from tide.data.hub.parquet import RowGroups

LEVELS = list(range(0, 250, 6))  # 42 photos in two files, in groups of 5 and of 1


@pytest.fixture
def folder(datasets: Any, tmp_path: Path) -> Path:
    directory = tmp_path / "photos"
    for place, levels in enumerate((LEVELS[:21], LEVELS[21:])):
        write(datasets, directory / "data" / f"train-{place:05}-of-00002.parquet", levels, rows_in_group=5)
    write(datasets, directory / "data" / "validation-00000-of-00001.parquet", [70, 80])
    return directory


@pytest.fixture
def stream(folder: Path) -> PhotoStream:
    found = open_photos(f"hub:{folder}", size=4, channels=1, buffer=8).train
    assert isinstance(found, PhotoStream)
    return found


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How often each row group was read."""
    counts: Counter[int] = Counter()
    read = RowGroups.read

    def counted(self: RowGroups, group: int) -> Any:
        counts[group] += 1
        return read(self, group)

    monkeypatch.setattr(RowGroups, "read", counted)
    return counts


@pytest.fixture(autouse=True)
def none_remains() -> Any:
    """No test leaves a thread that reads or a process that decodes."""
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "read-ahead"]
    assert not multiprocessing.active_children()


def requests(stream: PhotoStream, lanes: tuple[int, ...], steps: int, of: int = 2) -> list[tuple[torch.Tensor, int]]:
    order = stream.order(of, seed=3)
    return [(order.positions(lane, step * 4, 4), derive_seed(step, lane)) for step in range(steps) for lane in lanes]


def test_a_stream_knows_its_photos(stream: PhotoStream, folder: Path) -> None:
    assert (len(stream), stream.shape, stream.classes) == (42, (1, 4, 4), tuple(NAMES))
    assert stream.source.sizes == (5, 5, 5, 5, 1) * 2
    some = stream.select(torch.tensor([41, 0, 20]))
    assert some.images[:, 0, 0, 0].tolist() == [LEVELS[41], LEVELS[0], LEVELS[20]]
    assert some.labels.tolist() == [20 % 3, 0, 20 % 3]
    assert len(stream.select(slice(7))) == 7


@pytest.mark.parametrize("workers", [0, 2])
def test_crops_are_those_of_the_whole_table(stream: PhotoStream, folder: Path, workers: int) -> None:
    whole = open_photos(f"hub:{folder}", size=4, channels=1).train
    asked = [*requests(stream, (0, 1), 9), (torch.tensor([3, 3, 40]), 8)]
    streamed, taken = stream.decoded_with(Decoding(workers=workers)).crops(asked, ahead=3), whole.crops(asked)
    for left, right in zip(streamed, taken, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def test_each_row_group_is_read_once_an_epoch_by_the_process_of_its_lane(
    stream: PhotoStream, reads: Counter[int]
) -> None:
    shown = [len(set(stream.order(2, 3).positions(lane, 0, 42).tolist())) for lane in (0, 1)]
    assert sum(shown) == 42
    read: list[set[int]] = []
    for lane, count in enumerate(shown):
        asked = [
            (stream.order(2, 3).positions(lane, 0, count), 0),
            (stream.order(2, 3).positions(lane, count, count), 1),
        ]
        for _ in stream.crops(asked):
            pass
        assert set(reads.values()) == {2}  # two epochs
        read.append(set(reads))
        reads.clear()
    assert not read[0] & read[1]
    assert read[0] | read[1] == set(range(10))


def test_only_what_is_shuffled_and_what_waits_is_held(stream: PhotoStream, reads: Counter[int]) -> None:
    lanes, batch, sizes = 3, 4, stream.source.sizes

    def rows() -> int:
        return sum(sizes[group] * times for group, times in reads.copy().items())

    asked = requests(stream, tuple(range(lanes)), 20, of=lanes)
    for done, _ in enumerate(stream.crops(asked, ahead=2), 1):
        waiting = (2 + 1) * batch  # the queue, and what the thread has in hand
        assert rows() - batch * done <= lanes * (stream.buffer + max(sizes)) + waiting
    assert rows() > 2 * len(stream)


def test_files_that_say_other_things_than_the_first_are_refused(datasets: Any, folder: Path, refuses: Any) -> None:
    import pyarrow.parquet as pq

    first, second = sorted((folder / "data").glob("train-*"))

    def open_both() -> Any:
        return open_photos(f"hub:{folder}", size=4, channels=1, buffer=8)

    write(datasets, second, [1, 2], names=["dog", "cat", "eel"])
    with refuses(f"{second}: classes are dog, cat, eel..., cat, dog, eel... are wanted"):
        open_both()
    write(datasets, second, [1, 2], label=([0.0, 1.5], datasets.Value("float32")))
    with refuses(f"{second}: column 'label' is stored as float"):
        open_both()
    write(datasets, second, [1, 2], image=([b"a", b"b"], datasets.Value("binary")))
    with refuses(f"{second}: column 'image' is stored as binary"):
        open_both()
    whole = pq.read_table(first)
    metadata = {b"huggingface": b'{"info": {"features": {"image": {"_type": "Later"}}}}'}
    pq.write_table(whole.replace_schema_metadata(metadata), second)
    with refuses(f"{folder}, train: unreadable description of the columns in {second}"):
        open_both()
    pq.write_table(whole.slice(0, 0), first)
    pq.write_table(whole.slice(0, 0), second)
    with refuses(f"{folder}, train has 0 photos"):
        open_both()


def test_an_unreadable_photo_is_replaced_by_the_next_of_its_request(datasets: Any, folder: Path) -> None:
    bad = [{"bytes": b"no photo", "path": None}, None] + [{"bytes": encoded(level), "path": None} for level in (5, 6)]
    files = sorted((folder / "data").glob("train-*"))
    write(datasets, files[0], [0] * 4, image=(bad, datasets.Image()))
    files[1].unlink()
    stream = open_photos(f"hub:{folder}", size=4, channels=1, buffer=8).train
    lines: list[str] = []
    telling = stream.decoded_with(Decoding(on_unreadable=lines.append))
    batch, again = telling.crops([(torch.tensor([3, 0, 1]), 0), (torch.tensor([2, 1]), 0)])
    assert (batch.positions.tolist(), batch.images[:, 0, 0, 0].tolist()) == ([3, 3, 3], [6, 6, 6])
    assert (batch.labels.tolist(), again.positions.tolist()) == ([0, 0, 0], [2, 2])
    assert [re.split(r",? \(|, the", line)[0] for line in lines] == [
        f"{folder}, train, row 0: unreadable photo",
        f"{folder}, train, row 1: no photo",
    ]


def test_what_cannot_be_streamed_is_one_line(datasets: Any, folder: Path, refuses: Any) -> None:
    files = sorted((folder / "data").glob("train-*"))
    photos = [{"bytes": b"", "path": None}] * 2
    write(
        datasets,
        files[0],
        [0, 0],
        image=(photos, datasets.Image()),
        label=([0, None], datasets.ClassLabel(names=NAMES)),
    )
    stream = open_photos(f"hub:{folder}", size=4, channels=1, buffer=8).train
    with refuses(f"{folder}, train, row 1: no label"):
        list(stream.crops([(torch.tensor([1]), 0)]))
    write(datasets, files[0], [0, 0], image=(photos, datasets.Image()))
    stream = open_photos(f"hub:{folder}", size=4, channels=1, buffer=8).train
    with refuses("2 unreadable photos in a row", "row 0"):
        list(stream.crops([(torch.tensor([0, 1]), 0)]))
    with refuses("2 unreadable photos, at most 0 are wanted"):
        list(stream.decoded_with(Decoding(limit=0)).crops([(torch.tensor([0, 2]), 0)]))
    whole = files[1].read_bytes()
    files[1].write_bytes(whole[:300] + bytes(300) + whole[600:])  # its footer is whole
    with refuses(f"{folder}, train: unreadable Parquet file {files[1]}"):
        list(stream.crops([(torch.arange(2, 23), 0)]))
    files[1].write_bytes(b"PAR1")
    with refuses(f"{folder}, train: unreadable Parquet file {files[1]}"):
        open_photos(f"hub:{folder}", size=4, channels=1, buffer=8)


def test_arguments_out_of_range_are_one_line(stream: PhotoStream, refuses: Any) -> None:
    one = [(torch.tensor([0]), 0)]
    for name in ("workers", "limit"):
        with refuses(f"{name} is -1, at least"):
            Decoding(**{name: -1})
    with refuses("ahead is 0, at least"):
        stream.crops(one, ahead=0)
    with refuses("position is 42, 0..41 is wanted for 42 photos"):
        list(stream.crops([(torch.tensor([0, 42]), 0)]))
    with refuses("buffer is 0"):
        PhotoStream(stream.source, stream.classes, 4, 1, 0)


def test_labels_beyond_the_classes_are_one_line(stream: PhotoStream, refuses: Any) -> None:
    few = PhotoStream(stream.source, ("cat", "dog"), 4, 1, 8)
    with refuses(", train, row 2: label is 2, 0..1 is wanted"):
        list(few.crops([(torch.tensor([0]), 0)]))

"""Named data sets: finding and checking their files, and the readers of each format, which never run what they read."""

import gzip
import hashlib
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from tide.data import default_directory, load, names, status
from tide.data.named import NAMED_SETS, read_cifar_batch, read_digit_table, read_idx, read_pickled
from tide.models.presets import INPUTS


def put(files: dict[str, bytes], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def test_names_are_the_known_ones():
    assert names() == ("digits", "mnist", "fashion-mnist", "cifar10", "cifar100")
    for name, settings in INPUTS.items():
        assert NAMED_SETS[name].shape == (settings.channels, settings.size, settings.size)


@pytest.mark.parametrize("place", ["mnist", "mnist/raw", "MNIST", "MNIST/raw", "."])
def test_finds_files_where_libraries_put_them(place, tmp_path, tiny_mnist):
    put(tiny_mnist, tmp_path / place)
    splits = load("mnist", tmp_path)
    assert (len(splits.train), len(splits.test)) == (20, 10)
    assert splits.train.images.shape == (20, 1, 28, 28)
    assert splits.name == "mnist"
    assert dict(status(tmp_path))["mnist"] == tmp_path / place


def test_reads_raw_files_too(tmp_path, tiny_mnist):
    put({name.removesuffix(".gz"): gzip.decompress(data) for name, data in tiny_mnist.items()}, tmp_path / "mnist")
    assert len(load("mnist", str(tmp_path)).train) == 20


def test_the_nearest_folder_wins(tmp_path, tiny_mnist):
    put(tiny_mnist, tmp_path / "MNIST" / "raw")
    put(dict.fromkeys(tiny_mnist, b"damaged"), tmp_path)
    assert len(load("mnist", tmp_path).train) == 20


def test_the_other_mnist_in_the_same_folder_is_not_taken(tmp_path, tiny_mnist, refuses):
    put(tiny_mnist, tmp_path)
    with refuses("fashion-mnist: no files"):
        load("fashion-mnist", tmp_path)


def test_refuses_a_wrong_checksum(tmp_path, tiny_mnist, refuses):
    put(tiny_mnist, tmp_path / "mnist")
    path = tmp_path / "mnist" / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-1])
    with refuses(path, "md5", "delete it and run `tide data fetch mnist`"):
        load("mnist", tmp_path)


def test_refuses_a_missing_file(tmp_path, tiny_mnist, refuses):
    put(tiny_mnist, tmp_path / "mnist")
    (tmp_path / "mnist" / "t10k-images-idx3-ubyte.gz").unlink()
    with refuses("t10k-images-idx3-ubyte.gz", f"into {tmp_path / 'mnist'}", "tide data fetch mnist"):
        load("mnist", tmp_path)


def test_refuses_an_unknown_name(refuses):
    with refuses("'fashon-mnist'", "did you mean 'fashion-mnist'?"):
        load("fashon-mnist")
    with refuses("'zebra'", "digits, mnist"):
        load("zebra")


def test_the_default_directory_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("TIDE_DATA", str(tmp_path / "chosen"))
    assert default_directory() == tmp_path / "chosen"
    monkeypatch.setenv("TIDE_DATA", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_directory() == tmp_path / "tide"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", os.fspath(tmp_path))
    assert default_directory() == tmp_path / ".cache" / "tide"


@pytest.mark.parametrize("shape", [(5,), (3, 28, 28)])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_reads_idx_files_as_they_were_written(shape, pack, tmp_path, idx_bytes):
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path / "some-idx"
    path.write_bytes(pack(idx_bytes(array)))
    read = read_idx(path, "mnist")
    assert read.dtype == torch.uint8
    assert torch.equal(read, torch.from_numpy(array))


WHOLE = struct.pack(">HBBI", 0, 8, 1, 200) + bytes(range(200))
PACKED = gzip.compress(WHOLE)


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (b"", ("got 0x",)),
        (b"\x00\x00\x0d\x01" + WHOLE[4:], ("got 0x00000d01", "0x00000801")),
        (WHOLE[:6], ("4 header bytes", "got 2")),
        (WHOLE[:-3], ("200 data bytes", "got 197")),
        (WHOLE + b"?", ("200 data bytes", "got 201")),
        (struct.pack(">HBBI", 0, 8, 1, 0), ("got 0", "at least 1")),
        (PACKED[:-20], ("damaged gzip",)),
        (PACKED[:40] + bytes(20) + PACKED[60:], ("damaged gzip",)),
        (PACKED[:-8] + bytes(8), ("damaged gzip", "CRC")),
    ],
)
def test_refuses_damaged_idx_files(data, parts, tmp_path, refuses):
    path = tmp_path / "train-labels-idx1-ubyte"
    path.write_bytes(data)
    with refuses(path, *parts, "delete it and run `tide data fetch fashion-mnist`"):
        read_idx(path, "fashion-mnist")


DATA = np.arange(2 * 3072, dtype=np.uint16).astype(np.uint8).reshape(2, 3072)


def test_reads_a_batch_and_its_classes(tmp_path, cifar_bytes):
    path = tmp_path / "data_batch_1"
    path.write_bytes(cifar_bytes({b"data": DATA, b"labels": [1, 0], b"label_names": [b"cat", b"dog"]}))
    images, labels = read_cifar_batch(path, "labels", "cifar10")
    assert images.shape == (2, 3, 32, 32)
    assert images[1, 2, 5, 7] == DATA[1, 2 * 1024 + 5 * 32 + 7]
    assert labels.tolist() == [1, 0]
    assert read_pickled(path, "label_names", "cifar10") == [b"cat", b"dog"]


class Hostile:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_batch_never_runs_code(protocol, tmp_path, refuses):
    path, trace = tmp_path / "data_batch_1", tmp_path / "trace"
    path.write_bytes(pickle.dumps({"data": Hostile(f"touch {trace}")}, protocol=protocol))
    with refuses(
        path,
        f"{os.system.__module__}.system",
        "a pickle of plain NumPy arrays must not call",
        "tide data fetch cifar10",
    ):
        read_cifar_batch(path, "labels", "cifar10")
    assert not trace.exists()


@pytest.mark.parametrize(
    ("batch", "parts"),
    [
        ([1, 2], ("an entry 'data'",)),
        ({b"data": DATA}, ("an entry 'labels'",)),
        ({b"data": DATA[:, :5], b"labels": [1, 0]}, ("uint8 of shape (2, 5)", "(N, 3072)")),
        ({b"data": "text", b"labels": [1, 0]}, ("str",)),
        ({b"data": DATA, b"labels": [1]}, ("1 entries", "a list of 2 integers")),
        ({b"data": DATA, b"labels": 7}, ("int", "a list of 2 integers")),
    ],
)
def test_refuses_other_content_of_a_batch(batch, parts, tmp_path, cifar_bytes, refuses):
    path = tmp_path / "data_batch_1"
    path.write_bytes(cifar_bytes(batch))
    with refuses(path, *parts, "delete it and run `tide data fetch cifar10`"):
        read_cifar_batch(path, "labels", "cifar10")


def test_refuses_damaged_and_missing_batches(tmp_path, cifar_bytes, refuses):
    path = tmp_path / "meta"
    with refuses(path, "No such file"):
        read_pickled(path, "label_names", "cifar10")
    path.write_bytes(cifar_bytes({b"label_names": [b"cat"] * 9})[:-9])
    with refuses(path, "damaged pickle"):
        read_pickled(path, "label_names", "cifar10")


MD5 = "72927c3b20c1c396212c8d46da975dc2"


def test_the_split_of_the_digits_is_stratified_and_whole():
    splits = load("digits")
    assert (len(splits.train), len(splits.test)) == (1438, 359)
    assert splits.train.images.shape == (1438, 1, 16, 16)
    assert splits.train.images.max() == 255
    train, test = splits.train.labels.bincount(), splits.test.labels.bincount()
    assert ((test / (train + test)) - 0.2).abs().max() < 0.004


def test_the_split_of_the_digits_is_the_same_every_time():
    torch.manual_seed(1)
    splits = load("digits")
    torch.manual_seed(2)
    again = load("digits")
    assert torch.equal(splits.test.images, again.test.images)
    parts = (splits.train.images, splits.train.labels, splits.test.images, splits.test.labels)
    assert hashlib.md5(b"".join(part.numpy().tobytes() for part in parts)).hexdigest() == MD5


def test_the_file_of_the_digits_holds_what_the_library_reads(monkeypatch):
    from_file = read_digit_table()
    monkeypatch.setattr("tide.data.named.package_folder", lambda package: Path("/nowhere"))
    from_library = read_digit_table()
    for ours, theirs in zip(from_file, from_library, strict=True):
        assert np.array_equal(ours, theirs)


def test_without_the_library_the_remedy_is_told(monkeypatch, refuses):
    monkeypatch.setattr("tide.data.named.package_folder", lambda package: None)
    with refuses("pip install scikit-learn"):
        load("digits")

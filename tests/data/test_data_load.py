"""Finding, checking and loading named data sets."""

import gzip
import os
from pathlib import Path

import pytest

from tide.data import default_directory, load, names, status


def put(files: dict[str, bytes], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def test_names_are_the_known_ones():
    assert names() == ("digits", "mnist", "fashion-mnist", "cifar10", "cifar100")


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
    with refuses("t10k-images-idx3-ubyte.gz", f"put them into {tmp_path / 'mnist'}", "tide data fetch mnist"):
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


def test_the_default_directory_is_used(monkeypatch, tmp_path, tiny_mnist):
    put(tiny_mnist, tmp_path / "mnist")
    monkeypatch.setenv("TIDE_DATA", str(tmp_path))
    assert len(load("mnist").test) == 10

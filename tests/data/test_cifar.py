"""The reader of CIFAR batches, which must never run what a pickle asks for."""

import os
import pickle

import numpy as np
import pytest

from tide.data.named.cifar import read_batch, read_classes

DATA = np.arange(2 * 3072, dtype=np.uint16).astype(np.uint8).reshape(2, 3072)


def test_reads_a_batch_and_its_classes(tmp_path, cifar_bytes):
    path = tmp_path / "data_batch_1"
    path.write_bytes(cifar_bytes({b"data": DATA, b"labels": [1, 0], b"label_names": [b"cat", b"dog"]}))
    images, labels = read_batch(path, "labels", "cifar10")
    assert images.shape == (2, 3, 32, 32)
    assert images[1, 2, 5, 7] == DATA[1, 2 * 1024 + 5 * 32 + 7]
    assert labels.tolist() == [1, 0]
    assert read_classes(path, "label_names", "cifar10") == ("cat", "dog")


class Hostile:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_never_runs_code(protocol, tmp_path, refuses):
    path, trace = tmp_path / "data_batch_1", tmp_path / "trace"
    path.write_bytes(pickle.dumps({"data": Hostile(f"touch {trace}")}, protocol=protocol))
    with refuses(path, f"{os.system.__module__}.system", "plain NumPy arrays are wanted", "tide data fetch cifar10"):
        read_batch(path, "labels", "cifar10")
    assert not trace.exists()


@pytest.mark.parametrize(
    ("batch", "parts"),
    [
        ([1, 2], ("no entry 'data'",)),
        ({b"data": DATA}, ("no entry 'labels'",)),
        ({b"data": DATA[:, :5], b"labels": [1, 0]}, ("uint8 of shape (2, 5)", "(N, 3072)")),
        ({b"data": "text", b"labels": [1, 0]}, ("str",)),
        ({b"data": DATA, b"labels": [1]}, ("1 entries", "a list of 2 integers")),
        ({b"data": DATA, b"labels": 7}, ("int", "a list of 2 integers")),
    ],
)
def test_refuses_other_content(batch, parts, tmp_path, cifar_bytes, refuses):
    path = tmp_path / "data_batch_1"
    path.write_bytes(cifar_bytes(batch))
    with refuses(path, *parts, "delete it and run `tide data fetch cifar10`"):
        read_batch(path, "labels", "cifar10")


def test_refuses_damaged_and_missing_files(tmp_path, cifar_bytes, refuses):
    path = tmp_path / "meta"
    with refuses(path, "No such file"):
        read_classes(path, "label_names", "cifar10")
    path.write_bytes(cifar_bytes({b"label_names": [b"cat"] * 9})[:-9])
    with refuses(path, "damaged pickle"):
        read_classes(path, "label_names", "cifar10")
    path.write_bytes(cifar_bytes({b"label_names": 3}))
    with refuses(path, "class names are int"):
        read_classes(path, "label_names", "cifar10")

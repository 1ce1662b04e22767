"""CIFAR-10-C and MNIST-C as they are published: small trees of the same layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tide.data.shifted.arrays import cifar_c_names, mnist_c_names, read_cifar_c, read_mnist_c

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
    with refuses("corruption is 'fgo'", "did you mean 'fog'"):
        read_cifar_c(cifar, "fgo", 1, NAMES)
    with refuses("severity is 6", "1 to 5"):
        read_cifar_c(cifar, "fog", 6, NAMES)
    with refuses("label is 3, 0..1 is wanted"):
        read_cifar_c(cifar, "fog", 1, NAMES[:2])
    np.save(cifar / "labels.npy", np.arange(COUNT + 1))
    with refuses(f"{COUNT * 5} images of fog and {COUNT + 1} labels"):
        read_cifar_c(cifar, "fog", 1, NAMES)
    np.save(cifar / "labels.npy", np.zeros(COUNT))
    with refuses("labels.npy is float64 of shape (4,)"):
        read_cifar_c(cifar, "fog", 1, NAMES)
    (cifar / "fog.npy").write_bytes((cifar / "fog.npy").read_bytes()[:200])
    with refuses("fog.npy: unreadable array"):
        read_cifar_c(cifar, "fog", 1, NAMES)
    np.save(cifar / "fog.npy", np.zeros((20, 8, 8), dtype=np.uint8))
    with refuses("fog.npy is uint8 of shape (20, 8, 8)"):
        read_cifar_c(cifar, "fog", 1, NAMES)

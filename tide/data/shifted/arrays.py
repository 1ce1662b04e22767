"""Published shifted test sets in NumPy files: CIFAR-10-C, CIFAR-100-C and MNIST-C, as they lie."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tide.data.sets import ImageSet
from tide.errors import DataError, did_you_mean, one_line

SEVERITIES = (1, 2, 3, 4, 5)  # of every published set of corruptions, slight to heavy
CLEAN = "identity"  # MNIST-C has the images as they were, too


def cifar_c_names(directory: Path) -> tuple[str, ...]:
    """Return the corruptions of a folder of ``NAME.npy`` beside ``labels.npy``, sorted; empty where it is none."""
    if not (directory / "labels.npy").is_file():
        return ()
    return tuple(sorted(file.stem for file in directory.glob("*.npy") if file.stem != "labels"))


def mnist_c_names(directory: Path) -> tuple[str, ...]:
    """Return the corruptions of a folder of ``NAME/test_images.npy``, sorted; empty where it is none."""
    return tuple(sorted(file.parent.name for file in directory.glob("*/test_images.npy")))


def read_cifar_c(directory: Path, name: str, severity: int, classes: Sequence[str]) -> ImageSet:
    """Read one severity of CIFAR-10-C or CIFAR-100-C (Hendrycks and Dietterich, arXiv:1903.12261).

    ``NAME.npy`` holds the test images five times over, (5 N, H, W, C) as uint8, severities 1 to 5 one after the other;
    ``labels.npy`` their labels, (5 N,) or, for all severities alike, (N,).

    Raises:
        DataError: a file is missing, damaged, or of another shape, or a label is none of ``classes``.
    """
    images, labels = _read(directory, name, f"{name}.npy", "labels.npy", cifar_c_names(directory))
    count, rest = divmod(len(images), len(SEVERITIES))
    if rest or count == 0 or len(labels) not in (count, len(images)):
        raise DataError(
            f"{directory}: there are {len(images)} images of {name} and {len(labels)} labels, five times as many "
            "images as test images are wanted: restore the files"
        )
    if severity not in SEVERITIES:
        raise DataError(f"severity is {severity}, 1 to 5 is wanted: give one of them")
    part = slice((severity - 1) * count, severity * count)
    return ImageSet(images[part].contiguous(), labels[part] if len(labels) > count else labels, tuple(classes))


def read_mnist_c(directory: Path, name: str, classes: Sequence[str]) -> ImageSet:
    """Read one corruption of MNIST-C (Mu and Gilmer, arXiv:1906.02337), which has no severities.

    ``NAME/test_images.npy`` holds (N, H, W, C) as uint8, ``NAME/test_labels.npy`` (N,).

    Raises:
        DataError: as :func:`read_cifar_c`.
    """
    names = mnist_c_names(directory)
    images, labels = _read(directory, name, f"{name}/test_images.npy", f"{name}/test_labels.npy", names)
    return ImageSet(images, labels, tuple(classes))


def _read(directory: Path, name: str, images: str, labels: str, names: Sequence[str]) -> tuple[Tensor, Tensor]:
    if name not in names:
        raise DataError(
            f"{directory}: corruption is {name!r}, one of its {len(names)} is wanted{did_you_mean(name, names)}"
        )
    pixels, numbers = _load(directory / images), _load(directory / labels)
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] not in (1, 3):
        raise DataError(
            f"{directory / images} is {pixels.dtype} of shape {pixels.shape}, uint8 of shape (N, H, W, 1 or 3) "
            "is wanted: restore the file"
        )
    if numbers.ndim != 1 or not np.issubdtype(numbers.dtype, np.integer):
        raise DataError(
            f"{directory / labels} is {numbers.dtype} of shape {numbers.shape}, integers of shape (N,) are wanted: "
            "restore the file"
        )
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))), torch.from_numpy(
        numbers.astype(np.int64)
    )


def _load(file: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    try:
        array: np.ndarray[tuple[int, ...], np.dtype[np.generic]] = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = one_line(error)[:120]
        raise DataError(f"{file}: unreadable array ({reason}), a whole NumPy file is wanted: restore it") from error
    return array

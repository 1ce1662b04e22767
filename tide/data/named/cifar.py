"""The original Python batches of CIFAR-10 and CIFAR-100."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tide.data.named.checksum import remedy
from tide.errors import DataError

# NumPy's own array constructor for pickles, under the names it has in NumPy 1 (and in the original files) and 2.
_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


def read_batch(path: Path, key: str, name: str) -> tuple[Tensor, Tensor]:
    """Read one batch of images with their labels.

    Args:
        path: the batch file.
        key: the entry that holds the labels: ``labels`` in CIFAR-10, ``fine_labels`` in CIFAR-100.
        name: the data set it belongs to, for the remedy in error messages.

    Returns:
        Images, uint8, shape (N, 3, 32, 32), and labels, int64, shape (N,).

    Raises:
        DataError: the file cannot be read or holds something else; no code in it is ever run.
    """
    batch = _unpickle(path, name)
    data, labels = _entry(batch, "data", path, name), _entry(batch, key, path, name)
    if not (isinstance(data, np.ndarray) and data.dtype == np.uint8 and data.ndim == 2 and data.shape[1] == 3072):
        met = f"{data.dtype} of shape {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise DataError(f"{path}: images are {met}, uint8 of shape (N, 3072) is wanted: {remedy(name)}")
    if not (isinstance(labels, list) and len(labels) == len(data) and all(type(label) is int for label in labels)):
        met = f"{len(labels)} entries" if isinstance(labels, list) else type(labels).__name__
        raise DataError(f"{path}: labels are {met}, a list of {len(data)} integers is wanted: {remedy(name)}")
    return torch.from_numpy(data.reshape(-1, 3, 32, 32).copy()), torch.tensor(labels, dtype=torch.int64)


def read_classes(path: Path, key: str, name: str) -> tuple[str, ...]:
    """Read the class names from a meta file.

    Args:
        path: the meta file.
        key: the entry that holds the names: ``label_names`` in CIFAR-10, ``fine_label_names`` in CIFAR-100.
        name: the data set it belongs to, for the remedy in error messages.

    Returns:
        The class names, in the order of the labels.

    Raises:
        DataError: the file cannot be read or holds something else; no code in it is ever run.
    """
    classes = _entry(_unpickle(path, name), key, path, name)
    if not (isinstance(classes, list) and all(isinstance(item, bytes) for item in classes)):
        raise DataError(f"{path}: class names are {type(classes).__name__}, a list is wanted: {remedy(name)}")
    return tuple(item.decode("utf-8", "replace") for item in classes)


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler that can build plain values and NumPy arrays, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise DataError(f"pickle calls {module}.{name}, plain NumPy arrays are wanted")
        return _ALLOWED[module, name]


def _unpickle(path: Path, name: str) -> object:
    try:
        with path.open("rb") as stream:
            # The files were written by Python 2, whose strings are bytes.
            return _ArrayUnpickler(stream, encoding="bytes").load()
    except DataError as error:
        raise DataError(f"{path}: {error}: {remedy(name)}") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}, a readable file is wanted: {remedy(name)}") from error
    except Exception as error:  # a damaged pickle may raise anything
        raise DataError(
            f"{path}: damaged pickle ({type(error).__name__}), a whole file is wanted: {remedy(name)}"
        ) from error


def _entry(batch: object, key: str, path: Path, name: str) -> object:
    if not isinstance(batch, dict) or key.encode() not in batch:
        raise DataError(f"{path}: no entry {key!r}, a CIFAR file is wanted that has it: {remedy(name)}")
    return batch[key.encode()]

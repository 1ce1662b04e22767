"""The data sets known by name: one table of them, and a reader for each format of files."""

from __future__ import annotations

import gzip
import io
import math
import os
import pickle
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tide.data.fetch import (
    DataFile,
    Download,
    Published,
    default_directory,
    download_set,
    locate,
    package_folder,
    remedy,
    verified_files,
)
from tide.data.orders import derive_seed
from tide.data.sets import ImageSet, Splits
from tide.errors import DataError, check_path, did_you_mean


@dataclass(frozen=True, kw_only=True)
class NamedSet(Published):
    """A data set known by name: one row of :data:`NAMED_SETS`.

    Attributes:
        shape: channels, height and width of an image.
        classes: class names, empty where they are read from the files.
        read: makes the two parts of the set out of its files.
    """

    shape: tuple[int, int, int]
    classes: tuple[str, ...] = ()
    read: Callable[[NamedSet, list[Path]], Splits]


def names() -> tuple[str, ...]:
    """Return the names of the data sets that can be loaded by name."""
    return tuple(NAMED_SETS)


def load_named(name: str, directory: str | os.PathLike[str] | None = None) -> Splits:
    """Read a named set below ``directory``, by default :func:`default_directory`, after a check of its files' md5.

    Raises :class:`DataError` where the name is unknown, or files are missing, damaged or others.
    """
    named = _find(name)
    return named.read(named, [] if named.package else verified_files(named, _root(directory)))


def fetch(name: str, directory: str | os.PathLike[str] | None = None, *, base_url: str | None = None) -> Path:
    """Download what is missing of a named data set into ``directory/NAME``.

    Nothing is downloaded if all files are there already and right. Interrupted downloads are resumed, files appear
    under their names only when whole and right, and an archive is removed once its files are taken out of it.

    Args:
        name: one of :func:`tide.data.names`.
        directory: the folder that holds data sets, :func:`tide.data.default_directory` if not given.
        base_url: address of a mirror with files of the same names, instead of the place where they are published.

    Returns:
        The folder with the files.

    Raises:
        DataError: the name is unknown, the server cannot be reached or has other files, or a file cannot be written.
    """
    return download_set(_find(name), _root(directory), base_url)


def status(directory: str | os.PathLike[str] | None = None) -> list[tuple[str, Path | None]]:
    """List the named data sets with the folder where each lies, or None; the files are not checked.

    Args:
        directory: the folder that holds data sets, :func:`tide.data.default_directory` if not given.
    """
    root = _root(directory)
    return [(name, locate(named, root)) for name, named in NAMED_SETS.items()]


def folder_hint(name: str) -> str:
    """Return how a folder of this name is asked for, nothing where there is none."""
    return f"; for the folder {name} say folder:{name}" if name and Path(name).expanduser().is_dir() else ""


def _find(name: str) -> NamedSet:
    if name not in NAMED_SETS:
        hint = folder_hint(name) or did_you_mean(name, [*NAMED_SETS, "folder:DIR", "hub:DIR"])
        raise DataError(f"data set must be one known by name, got {name!r}{hint}")
    return NAMED_SETS[name]


def _root(directory: str | os.PathLike[str] | None) -> Path:
    if directory is None:
        return default_directory()
    check_path("directory", directory)
    return Path(directory)


def read_idx(path: Path, name: str) -> Tensor:
    """Return an IDX file of unsigned bytes as uint8 of the shape that it states: (N, H, W) images or (N,) labels.

    Whether it is compressed with gzip is seen from its first bytes, not from its name. ``name`` is the data set it
    belongs to. Raises :class:`DataError` where it cannot be read, is truncated or damaged, or is of another kind.
    """
    try:
        with path.open("rb") as raw:
            compressed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if not compressed:
                return _parse_idx(raw, path, name)
            with gzip.open(raw) as stream:
                return _parse_idx(stream, path, name)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip data ({error}); {remedy(name)}") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; {remedy(name)}") from error


def _parse_idx(stream: io.BufferedIOBase, path: Path, name: str) -> Tensor:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:3] != b"\0\0\x08" or magic[3] == 0:
        raise DataError(f"{path}: magic must be 0x00000801 or 0x00000803, got 0x{magic.hex()}; {remedy(name)}")
    dimensions = magic[3]
    header = stream.read(4 * dimensions)
    if len(header) < 4 * dimensions:
        raise DataError(f"{path}: there must be {4 * dimensions} header bytes, got {len(header)}; {remedy(name)}")
    shape = struct.unpack(f">{dimensions}I", header)
    # Reading everything, rather than what the header announces, shows bytes too many and lets gzip check its CRC.
    data = stream.read()
    if len(data) != math.prod(shape) or not data:
        size = math.prod(shape) or "at least 1"
        raise DataError(f"{path}: there must be {size} data bytes for {shape}, got {len(data)}; {remedy(name)}")
    # The copy into a bytearray gives the tensor memory that it may write to.
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).view(shape)


def _read_idx_set(named: NamedSet, files: list[Path]) -> Splits:
    train_images, train_labels, test_images, test_labels = (read_idx(path, named.name) for path in files)
    return Splits(
        named.name,
        train=ImageSet(train_images.unsqueeze(1), train_labels.long(), named.classes),
        test=ImageSet(test_images.unsqueeze(1), test_labels.long(), named.classes),
    )


# NumPy's own array constructor for pickles, under the names it has in NumPy 1 (and in the original files) and 2.
_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler that can build plain values and NumPy arrays, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise DataError(f"a pickle of plain NumPy arrays must not call {module}.{name}")
        return _ALLOWED[module, name]


def read_pickled(path: Path, key: str, name: str) -> Any:
    """Return entry ``key`` of a Python batch of CIFAR, of the data set ``name``; no code in it is ever run.

    Raises :class:`DataError` where the file cannot be read, is damaged, or has no such entry.
    """
    try:
        with path.open("rb") as stream:
            # The files were written by Python 2, whose strings are bytes.
            batch = _ArrayUnpickler(stream, encoding="bytes").load()
    except DataError as error:
        raise DataError(f"{path}: {error}; {remedy(name)}") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; {remedy(name)}") from error
    except Exception as error:  # a damaged pickle may raise anything
        raise DataError(f"{path}: damaged pickle ({type(error).__name__}); {remedy(name)}") from error
    if not isinstance(batch, dict) or key.encode() not in batch:
        raise DataError(f"{path}: a CIFAR file must have an entry {key!r}, got none; {remedy(name)}")
    return batch[key.encode()]


def read_cifar_batch(path: Path, key: str, name: str) -> tuple[Tensor, Tensor]:
    """Return the images, uint8 (N, 3, 32, 32), and the labels, int64 (N,), of one batch of CIFAR.

    ``key`` is the entry of the labels: ``labels`` in CIFAR-10, ``fine_labels`` in CIFAR-100. Raises :class:`DataError`
    as :func:`read_pickled` does, and where the batch holds something else.
    """
    data, labels = (read_pickled(path, entry, name) for entry in ("data", key))
    if not (isinstance(data, np.ndarray) and data.dtype == np.uint8 and data.ndim == 2 and data.shape[1] == 3072):
        kind = f"{data.dtype} of shape {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise DataError(f"{path}: images must be uint8 of shape (N, 3072), got {kind}; {remedy(name)}")
    if not (isinstance(labels, list) and len(labels) == len(data) and all(type(label) is int for label in labels)):
        kind = f"{len(labels)} entries" if isinstance(labels, list) else type(labels).__name__
        raise DataError(f"{path}: labels must be a list of {len(data)} integers, got {kind}; {remedy(name)}")
    return torch.from_numpy(data.reshape(-1, 3, 32, 32).copy()), torch.tensor(labels, dtype=torch.int64)


def _read_cifar(named: NamedSet, files: list[Path], label_key: str, class_key: str) -> Splits:
    *train, test, meta = files
    titles = read_pickled(meta, class_key, named.name)
    if not (isinstance(titles, list) and all(isinstance(title, bytes) for title in titles)):
        raise DataError(f"{meta}: class names must be a list, got {type(titles).__name__}; {remedy(named.name)}")
    classes = tuple(title.decode("utf-8", "replace") for title in titles)
    batches = [read_cifar_batch(path, label_key, named.name) for path in train]
    images, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return Splits(
        named.name,
        train=ImageSet(images, labels, classes),
        test=ImageSet(*read_cifar_batch(test, label_key, named.name), classes),
    )


def _read_digits(named: NamedSet, files: list[Path]) -> Splits:
    """Read the digits of scikit-learn, split 80:20 in the same way every time, class by class.

    The values 0..16 are spread over 0..255 and the 8x8 pixels are enlarged to 16x16 by bilinear interpolation.
    """
    values, targets = read_digit_table()
    if values.shape != (1797, 64):
        raise DataError(f"digits: data must be of shape (1797, 64), got {values.shape}; install another scikit-learn")
    labels = torch.from_numpy(np.asarray(targets, dtype=np.int64))
    # Every step is exact in single precision (few binary digits), so the pixels are the same on every machine.
    pixels = torch.from_numpy(np.asarray(values, dtype=np.float32)).view(-1, 1, 8, 8) * (255 / 16)
    images = functional.interpolate(pixels, size=16, mode="bilinear", align_corners=False).round().to(torch.uint8)
    test = torch.zeros_like(labels, dtype=torch.bool)
    for label in range(10):
        members = (labels == label).nonzero().flatten().tolist()
        # Sorting by a hash, unlike any library's generator, gives the same order with every version of everything.
        members.sort(key=lambda index: derive_seed(0, index))
        test[members[: round(0.2 * len(members))]] = True
    return Splits(
        named.name,
        train=ImageSet(images[~test], labels[~test], named.classes),
        test=ImageSet(images[test], labels[test], named.classes),
    )


def read_digit_table() -> tuple[Any, Any]:
    """Return the values, (1797, 64), and the classes, (1797,), of the digits that scikit-learn brings along.

    From the file that it installs: to import the library takes over a second, to read the file a hundredth.
    """
    package = package_folder("sklearn")
    if package is None:
        raise DataError("digits: scikit-learn brings the data and is not installed; run `pip install scikit-learn`")
    file = package / "datasets" / "data" / "digits.csv.gz"
    if not file.is_file():  # another version may keep it elsewhere
        from sklearn.datasets import load_digits

        return load_digits(return_X_y=True)  # type: ignore[no-any-return]
    table = np.loadtxt(file, delimiter=",")
    return table[:, :-1], table[:, -1].astype(np.int64)


def _idx(
    name: str, classes: tuple[str, ...], folders: tuple[str, ...], address: str, *files: tuple[str, str, str, int]
) -> NamedSet:
    """Describe a set of 28x28 grey images by the stem, raw md5, compressed md5 and compressed length of its files."""
    return NamedSet(
        name=name,
        shape=(1, 28, 28),
        read=_read_idx_set,
        classes=classes,
        files=tuple(DataFile(((f"{stem}.gz", packed), (stem, raw))) for stem, raw, packed, _ in files),
        folders=folders,
        address=address,
        downloads=tuple(Download(f"{stem}.gz", packed, length) for stem, _, packed, length in files),
    )


def _cifar(
    name: str, keys: tuple[str, str], folders: tuple[str, ...], archive: Download, *files: tuple[str, str]
) -> NamedSet:
    """Describe a set of 32x32 colour images by the entries of labels and class names, and its files, the meta last."""
    return NamedSet(
        name=name,
        shape=(3, 32, 32),
        read=partial(_read_cifar, label_key=keys[0], class_key=keys[1]),
        files=tuple(DataFile((file,)) for file in files),
        folders=folders,
        address="https://www.cs.toronto.edu/~kriz/",
        downloads=(archive,),
    )


_TEN_DIGITS = tuple("0123456789")
_GARMENTS = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)

_ROWS = (
    NamedSet(name="digits", package="sklearn", shape=(1, 16, 16), classes=_TEN_DIGITS, read=_read_digits),
    _idx(
        "mnist",
        _TEN_DIGITS,
        ("MNIST", "MNIST/raw"),
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ("train-images-idx3-ubyte", "6bbc9ace898e44ae57da46a324031adb", "f68b3c2dcbeaaa9fbdd348bbdeb94873", 9_912_422),
        ("train-labels-idx1-ubyte", "a25bea736e30d166cdddb491f175f624", "d53e105ee54ea40749a09fcbcd1e9432", 28_881),
        ("t10k-images-idx3-ubyte", "2646ac647ad5339dbf082846283269ea", "9fb629c4189551a2d022fa330f9573f3", 1_648_877),
        ("t10k-labels-idx1-ubyte", "27ae3e4e09519cfbb04c329615203637", "ec29112dd5afa0611ce80d1b7f02629c", 4_542),
    ),
    _idx(
        "fashion-mnist",
        _GARMENTS,
        ("FashionMNIST", "FashionMNIST/raw", "Fashion-MNIST", "fashion_mnist", "fashion"),
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ("train-images-idx3-ubyte", "f4a8712d7a061bf5bd6d2ca38dc4d50a", "8d4fb7e6c68d591d4c3dfef9ec88bf0d", 26_421_880),
        ("train-labels-idx1-ubyte", "9018921c3c673c538a1fc5bad174d6f9", "25c81989df183df01b3e8a0aad5dffbe", 29_515),
        ("t10k-images-idx3-ubyte", "8181f5470baa50b63fa0f6fddb340f0a", "bef4ecab320f06d8554ea6380940ec79", 4_422_102),
        ("t10k-labels-idx1-ubyte", "15d484375f8d13e6eb1aabb0c3f46965", "bb300cfdad3c16e7a12a480ee83cd310", 5_148),
    ),
    _cifar(
        "cifar10",
        ("labels", "label_names"),
        ("cifar10/cifar-10-batches-py", "cifar-10", "cifar-10/cifar-10-batches-py", "cifar-10-batches-py"),
        Download("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a", 170_498_071),
        ("data_batch_1", "c99cafc152244af753f735de768cd75f"),
        ("data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"),
        ("data_batch_3", "54ebc095f3ab1f0389bbae665268c751"),
        ("data_batch_4", "634d18415352ddfa80567beed471001a"),
        ("data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"),
        ("test_batch", "40351d587109b95175f43aff81a1287e"),
        ("batches.meta", "5ff9c542aee3614f3951f8cda6e48888"),
    ),
    _cifar(
        "cifar100",
        ("fine_labels", "fine_label_names"),
        ("cifar100/cifar-100-python", "cifar-100", "cifar-100/cifar-100-python", "cifar-100-python"),
        Download("cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85", 169_001_437),
        ("train", "16019d7e3df5f24257cddd939b257f8d"),
        ("test", "f0ef6b0ae62326f3e7ffdfab6717acfc"),
        ("meta", "7973b15100ade9c7d40fb424638fde48"),
    ),
)
NAMED_SETS = {row.name: row for row in _ROWS}
"""Every data set known by name: its files with their checksums, where they are published, its shape and its reader."""

"""The named data sets: what they hold, the files they consist of and where those are published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tide.errors import DataError, did_you_mean


@dataclass(frozen=True)
class DataFile:
    """One file that loading needs: the names it may have on disk, each with its md5, the preferred one first."""

    variants: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Download:
    """One published file: its name below the address of its data set, its md5 and its length in bytes."""

    name: str
    md5: str
    length: int


@dataclass(frozen=True)
class DataSet:
    """A named data set.

    Attributes:
        name: what the user calls it.
        format: how its files are written; ``sklearn`` is the set that scikit-learn brings along.
        channels: channels of an image.
        size: height and width of an image in pixels.
        counts: number of training and of test images.
        classes: class names, empty where they are read from the files.
        files: the files that loading needs, in the order in which the loader of the format expects them.
        folders: where the files may lie below a data directory, beside the folder called as the set itself.
        address: the base address of the downloads, ending in a slash.
        downloads: what to fetch: the files themselves, or one archive that holds them.
    """

    name: str
    format: Literal["idx", "cifar", "sklearn"]
    channels: int
    size: int
    counts: tuple[int, int]
    classes: tuple[str, ...] = ()
    files: tuple[DataFile, ...] = ()
    folders: tuple[str, ...] = ()
    address: str = ""
    downloads: tuple[Download, ...] = ()


def names() -> tuple[str, ...]:
    """Return the names of the data sets that can be loaded by name."""
    return tuple(DATA_SETS)


def find(name: str) -> DataSet:
    """Return the data set called ``name``.

    Raises:
        DataError: there is none; the message gives the nearest name.
    """
    if name not in DATA_SETS:
        hint = did_you_mean(name, [*DATA_SETS, "folder:DIR"])
        raise DataError(f"data set is {name!r}, the name of a known one is wanted{hint}")
    return DATA_SETS[name]


def _idx(
    name: str, classes: tuple[str, ...], folders: tuple[str, ...], address: str, *files: tuple[str, str, str, int]
) -> DataSet:
    """Describe a set of 28x28 grey images by the stem, raw md5, compressed md5 and compressed length of its files."""
    return DataSet(
        name=name,
        format="idx",
        channels=1,
        size=28,
        counts=(60_000, 10_000),
        classes=classes,
        files=tuple(DataFile(((f"{stem}.gz", packed), (stem, raw))) for stem, raw, packed, _ in files),
        folders=folders,
        address=address,
        downloads=tuple(Download(f"{stem}.gz", packed, length) for stem, _, packed, length in files),
    )


def _cifar(name: str, folders: tuple[str, ...], archive: Download, *files: tuple[str, str]) -> DataSet:
    """Describe a set of 32x32 colour images: training batches first, then the test batch, the meta file last."""
    return DataSet(
        name=name,
        format="cifar",
        channels=3,
        size=32,
        counts=(50_000, 10_000),
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

_ALL = (
    DataSet(name="digits", format="sklearn", channels=1, size=16, counts=(1438, 359), classes=_TEN_DIGITS),
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
        ("cifar100/cifar-100-python", "cifar-100", "cifar-100/cifar-100-python", "cifar-100-python"),
        Download("cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85", 169_001_437),
        ("train", "16019d7e3df5f24257cddd939b257f8d"),
        ("test", "f0ef6b0ae62326f3e7ffdfab6717acfc"),
        ("meta", "7973b15100ade9c7d40fb424638fde48"),
    ),
)
DATA_SETS = {data_set.name: data_set for data_set in _ALL}

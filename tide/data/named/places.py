"""Where the files of the named data sets are looked for."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from tide.data.named.checksum import md5_of
from tide.data.named.registry import DataSet

# What the folders of published shifted test sets are called, in small letters and with hyphens.
SHIFTED = {
    "cifar-10-c": ("cifar-10-c", "cifar10-c"),
    "cifar-100-c": ("cifar-100-c", "cifar100-c"),
    "mnist-c": ("mnist-c",),
    "tiny-imagenet": ("tiny-imagenet", "tiny-imagenet-200"),
    "tiny-imagenet-c": ("tiny-imagenet-c", "tiny-imagenet-200-c"),
    "imagenet-c": ("imagenet-c",),
    "imagenet-r": ("imagenet-r",),
}


def default_directory() -> Path:
    """Return the folder that holds data sets unless the user names another.

    It is the one in environment variable ``TIDE_DATA`` or, if that is unset or empty, ``tide`` in the user's cache
    folder: ``$XDG_CACHE_HOME/tide``, else ``~/.cache/tide``. It need not exist.
    """
    if chosen := os.environ.get("TIDE_DATA"):
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "tide"


def scikit_learn() -> Path | None:
    """Return the folder of the package that brings ``digits`` along, without importing it; None without it."""
    package = importlib.util.find_spec("sklearn")
    return Path(package.origin).parent if package and package.origin else None


def locate(data_set: DataSet, directory: Path) -> Path | None:
    """Return the first folder that has every file of ``data_set``, without checking what is in the files.

    The folders are, in this order: ``directory/NAME``, ``directory/NAME/raw``, the places below ``directory`` where
    other libraries put the set, and ``directory`` itself. ``digits`` lies in the package of scikit-learn.
    """
    if data_set.format == "sklearn":
        return scikit_learn()
    for place in (data_set.name, f"{data_set.name}/raw", *data_set.folders):
        if present_files(data_set, directory / place):
            return directory / place
    return directory if _is_all_of(data_set, directory) else None


def locate_shifted(name: str, directory: Path) -> Path | None:
    """Return the folder of a published shifted test set, one of ``SHIFTED``, right below ``directory``; None for none.

    Capitals and underscores do not matter: ``ImageNet-R`` and ``mnist_c`` are found, too.
    """
    entries = sorted(directory.iterdir()) if directory.is_dir() else []
    called = {entry.name.lower().replace("_", "-"): entry for entry in entries if entry.is_dir()}
    return next((called[spelling] for spelling in SHIFTED[name] if spelling in called), None)


def present_files(data_set: DataSet, folder: Path) -> list[tuple[Path, str]]:
    """Return the path and the expected md5 of each file of ``data_set``, or nothing if ``folder`` lacks one."""
    found = []
    for file in data_set.files:
        match = next(((folder / name, md5) for name, md5 in file.variants if (folder / name).is_file()), None)
        if match is None:
            return []
        found.append(match)
    return found


def _is_all_of(data_set: DataSet, directory: Path) -> bool:
    """Tell whether ``directory`` itself holds the set; MNIST and Fashion-MNIST call their files the same."""
    files = present_files(data_set, directory)
    if not files:
        return False
    path, md5 = min(files, key=lambda file: file[0].stat().st_size)
    return md5_of(path) == md5

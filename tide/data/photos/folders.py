"""Which photos lie in which class folders, found without opening any of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from tide.errors import DataError

ANNOTATIONS = "val_annotations.txt"
_REMEDY = "restore the published file"
# What the parts may be called, in any case, the preferred name first: labels of a part called test are often secret.
PARTS = {"train": ("train", "training"), "val": ("validation", "val", "valid", "dev", "test")}
_EXTENSIONS = (
    *(".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".jp2"),
)

# The paths of the photos of each class. Text, since a million paths as objects would take several times the memory.
Classes = dict[str, list[str]]


def part_folder(directory: Path, part: str) -> Path | None:
    """Return the folder of part ``train`` or ``val`` of a folder of photos, None for none.

    ``PARTS`` has the names that count, in capitals or not.
    """
    here = {name.lower(): name for name in reversed(folders_in(directory))}
    found = next((here[name] for name in PARTS[part] if name in here), None)
    return directory / found if found is not None else None


def scan_part(directory: Path, part: str) -> Classes:
    """Return the photos of one part of a folder of photos.

    Args:
        directory: the folder that holds the parts.
        part: ``train`` or ``val``: the photos lie in ``DIR/PART/CLASS``, or in ``DIR/PART/images`` with their classes
            in ``DIR/PART/val_annotations.txt``, as tiny-imagenet has them. See :func:`part_folder` for other names.

    Returns:
        The paths of the photos of each class, classes and photos sorted by name.

    Raises:
        DataError: a folder is missing, empty or unreadable, or the annotations are damaged.
    """
    folder = part_folder(directory, part) if directory.is_dir() else None
    if folder is None:
        raise DataError(
            f"{directory}: no folder {part!r}, train/CLASS/ and val/CLASS/ are wanted: put the photos there by class"
        )
    if (folder / ANNOTATIONS).is_file():
        return read_annotations(folder / ANNOTATIONS, photos_in(folder / "images"))
    return scan_classes(folder)


def scan_classes(folder: Path) -> Classes:
    """Return the photos in ``FOLDER/CLASS`` and ``FOLDER/CLASS/images``, classes and photos sorted by name.

    Files that are no photos by their ending and everything hidden are left out; :func:`left_out` counts them.

    Raises:
        DataError: there is no class folder, or a folder is unreadable or has no photos.
    """
    classes = {}
    for name in folders_in(folder):
        classes[name] = [photo for place in _places(folder / name) for photo in photos_in(place)]
        if not classes[name]:
            raise DataError(
                f"{folder / name}: no photos, a {', '.join(_EXTENSIONS[:6])} file or one of another kind is wanted: "
                "add photos or remove the folder"
            )
    if not classes:
        raise DataError(
            f"{folder}: no class folders, at least one is wanted: put a folder of photos for each class there"
        )
    return classes


def left_out(folder: Path) -> Counter[str]:
    """Count what :func:`scan_classes` leaves out of class folders, by its ending: files, folders and broken links."""
    counts: Counter[str] = Counter()
    for name in folders_in(folder):
        for place in _places(folder / name):
            taken = {*photos_in(place), *(os.fspath(inner) for inner in _places(folder / name))}
            counts.update(_kind(entry) for entry in _entries(place) if entry.path not in taken)
    return counts


def described(directory: Path, parts: Mapping[str, Classes]) -> str:
    """Say in one line what was found: photos, classes and the folder of each part, and what was left out of them."""
    texts, lost = [], Counter[str]()
    for part, classes in parts.items():
        folder = part_folder(directory, part)
        assert folder is not None
        photos = sum(map(len, classes.values()))
        texts.append(f"{photos} photos in {len(classes)} classes in {folder.name}/")
        if not (folder / ANNOTATIONS).is_file():
            lost += left_out(folder)
    most = sorted(lost.items(), key=lambda item: (-item[1], item[0]))
    some = ", ".join(f"{kind} {count}" for kind, count in most[:3]) + (", ..." if len(lost) > 3 else "")
    rest = f"; {lost.total()} files left out ({some})" if lost else ""
    return f"{directory}: {', '.join(texts)}{rest}"


def _places(folder: Path) -> list[Path]:
    """Return the folders whose photos are of one class."""
    return [folder, folder / "images"] if (folder / "images").is_dir() else [folder]


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.is_dir():
        return "folders"
    if not entry.is_file():
        return "broken links"
    return os.path.splitext(entry.name)[1].lower() or "no ending"  # noqa: PTH122 (millions of them)


def folders_in(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, sorted, without hidden ones."""
    return sorted(entry.name for entry in _entries(folder) if entry.is_dir())


def photos_in(folder: Path) -> list[str]:
    """Return the paths of the photos that lie in a folder itself, sorted by name, without hidden ones."""
    files = (entry for entry in _entries(folder) if entry.name.lower().endswith(_EXTENSIONS) and entry.is_file())
    return sorted(entry.path for entry in files)


def check_same_classes(directory: Path, train: Collection[str], val: Collection[str]) -> None:
    """Raise DataError unless both parts have the same classes."""
    for here, there, lacking in (
        ("train", "val", set(train) - set(val)),
        ("val", "train", set(val) - set(train)),
    ):
        if lacking:
            raise DataError(
                f"{directory}: class {min(lacking)!r} is in {here} but not in {there}, the same in both is wanted: "
                f"add it to {there} or remove it from {here}"
            )


def read_annotations(path: Path, photos: Sequence[str]) -> dict[str, list[str]]:
    """Read which photo belongs to which class.

    A line holds the name of a photo, its class and the box of the object, which is not used, separated by tabs.

    Args:
        path: the file.
        photos: the paths of the photos that it must name, each in one line.

    Returns:
        The paths of the photos of each class, the classes sorted, the photos in the order given.

    Raises:
        DataError: the file cannot be read, a line is malformed or names another photo or one twice, or a photo has no
            line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "bytes that are no UTF-8"
        raise DataError(f"{path}: {reason}, readable annotations are wanted: {_REMEDY}") from error
    named = {Path(photo).name: photo for photo in photos}
    class_of: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        name, label, *_ = (*line.split("\t"), "", "")
        if not name or not label:
            raise DataError(
                f"{path}, line {number} is {line!r}, a photo, its class and its box between tabs are wanted: {_REMEDY}"
            )
        if name not in named:
            raise DataError(
                f"{path}, line {number}: the photo is {name!r}, one that lies in {path.parent / 'images'} is wanted: "
                "restore the photo or remove the line"
            )
        if name in class_of:
            raise DataError(f"{path}, line {number}: {name!r} is there again, one line a photo is wanted: {_REMEDY}")
        class_of[name] = label
    classes: dict[str, list[str]] = {label: [] for label in sorted(set(class_of.values()))}
    for name, photo in named.items():
        if name not in class_of:
            raise DataError(
                f"{path}: no line for {name!r} in {len(lines)} lines, one for each photo is wanted: {_REMEDY}"
            )
        classes[class_of[name]].append(photo)
    if not classes:
        raise DataError(f"{path}: no lines, one for each photo is wanted: {_REMEDY}")
    return classes


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        # Unlike listing paths, this asks the file system once for a folder and not once more for each file in it.
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror or error}, a readable folder is wanted: check the path") from error

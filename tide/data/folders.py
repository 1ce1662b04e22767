"""Which photos lie in which class folders, found without opening any of them."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tide.errors import DataError, other_form

ANNOTATIONS = "val_annotations.txt"
_REMEDY = "restore the published file"
# What the parts may be called, in any case, the preferred name first: labels of a part called test are often secret.
PARTS = {"train": ("train", "training"), "val": ("validation", "val", "valid", "dev", "test")}
_EXTENSIONS = (
    *(".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".jp2"),
)

Classes = dict[str, list[str]]
"""The paths of the photos of each class. Text, since a million paths as objects would take several times the memory."""


def scan_folder(directory: Path) -> dict[str, Classes]:
    """Return the photos of both parts, ``train`` and ``val``, of a folder of photos: see :func:`scan_part`.

    Raises :class:`DataError` as that does, and where the parts have different classes.
    """
    parts = {part: scan_part(directory, part) for part in PARTS}
    for here, there in (("train", "val"), ("val", "train")):
        missing = parts[here].keys() - parts[there].keys()
        if missing and (twin := other_form(min(missing), parts[there])):
            raise DataError(
                f"{directory}: class {min(missing)!r} must be spelled alike in both parts, got another Unicode form of "
                f"it, {twin!a}, in {there}; rename one of them"
            )
        if missing:
            raise DataError(
                f"{directory}: class {min(missing)!r} must be in both parts, got it in {here} but not in {there}; add "
                f"it to {there} or remove it from {here}"
            )
    return parts


def scan_part(directory: Path, part: str) -> Classes:
    """Return the photos of part ``train`` or ``val`` of a folder of photos, classes and photos sorted by name.

    They lie in ``DIR/PART/CLASS``, or in ``DIR/PART/images`` with their classes in ``DIR/PART/val_annotations.txt``, as
    tiny-imagenet has them; :func:`part_folder` tells other names of a part. Raises :class:`DataError` where a folder is
    missing, empty or unreadable, or the annotations are damaged.
    """
    if not directory.is_dir():
        raise DataError(f"{directory} must be a folder of photos, got none there; name yours with --data folder:DIR")
    folder = part_folder(directory, part)
    if folder is None:
        raise DataError(f"{directory}: no folder {part!r}; put the photos into train/CLASS/ and val/CLASS/ there")
    if (folder / ANNOTATIONS).is_file():
        return read_annotations(folder / ANNOTATIONS, photos_in(folder / "images"))
    return scan_classes(folder)


def part_folder(directory: Path, part: str) -> Path | None:
    """Return the folder of part ``train`` or ``val`` of a folder of photos, None for none.

    ``PARTS`` has the names that count, in capitals or not.
    """
    by_name = {name.lower(): name for name in reversed(folders_in(directory))}
    return next((directory / by_name[name] for name in PARTS[part] if name in by_name), None)


def scan_classes(folder: Path) -> Classes:
    """Return the photos in ``FOLDER/CLASS`` and ``FOLDER/CLASS/images``, classes and photos sorted by name.

    Files that are no photos by their ending and everything hidden are left out; :func:`summary` counts them. Raises
    :class:`DataError` where there is no class folder, or a folder is unreadable or has no photos.
    """
    classes, forms = {}, dict[str, str]()
    for name in folders_in(folder):
        if any("\ud800" <= letter <= "\udfff" for letter in name):
            raise DataError(f"{folder}: class {name!a} must be written in UTF-8, got other bytes; rename the folder")
        if (twin := forms.setdefault(unicodedata.normalize("NFC", name), name)) != name:
            raise DataError(
                f"{folder}: class {name!r} must have one folder, got another Unicode form of its name, {twin!a}; put "
                "the photos into one of them"
            )
        classes[name] = [photo for place in _places(folder / name) for photo in photos_in(place)]
        if not classes[name]:
            kinds = ", ".join(_EXTENSIONS[:6])
            raise DataError(f"{folder / name}: no photos ({kinds}, ...); add photos or remove the folder")
    if not classes:
        raise DataError(f"{folder}: no class folders; put a folder of photos for each class there")
    return classes


def summary(directory: Path, parts: Mapping[str, Classes]) -> str:
    """Say in one line which photos a folder has: their number, classes and folder of each part, and what is left out.

    Left out are files of other endings, folders and broken links in class folders.
    """
    texts, left_out = [], Counter[str]()
    for part, classes in parts.items():
        folder = part_folder(directory, part)
        assert folder is not None
        texts.append(f"{sum(map(len, classes.values()))} photos in {len(classes)} classes in {folder.name}/")
        if not (folder / ANNOTATIONS).is_file():
            left_out += _left_out(folder)
    kinds = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
    some = ", ".join(f"{kind} {count}" for kind, count in kinds[:3]) + (", ..." if len(kinds) > 3 else "")
    rest = f"; {left_out.total()} files left out ({some})" if left_out else ""
    return f"{directory}: {', '.join(texts)}{rest}"


def _left_out(folder: Path) -> Counter[str]:
    """Count what :func:`scan_classes` leaves out of class folders, by its ending."""
    counts: Counter[str] = Counter()
    for name in folders_in(folder):
        for place in _places(folder / name):
            taken = {*photos_in(place), *(os.fspath(inner) for inner in _places(folder / name))}
            counts.update(_kind(entry) for entry in _entries(place) if entry.path not in taken)
    return counts


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


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        # Unlike listing paths, this asks the file system once for a folder and not once more for each file in it.
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror or error}; check the path") from error


def read_annotations(path: Path, photos: Sequence[str]) -> Classes:
    """Return the paths of the photos of each class, the classes sorted, as a file of annotations has them.

    A line holds the name of a photo, its class and the box of the object, which is not used, separated by tabs. Each of
    ``photos`` must have one line. Raises :class:`DataError` where that is not so, or the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "bytes that are no UTF-8"
        raise DataError(f"{path}: {reason}; {_REMEDY}") from error
    named = {Path(photo).name: photo for photo in photos}
    class_of: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        name, label, *_ = (*line.split("\t"), "", "")
        if not name or not label:
            raise DataError(
                f"{path}, line {number} must hold a photo, its class and its box between tabs, got {line!r}; {_REMEDY}"
            )
        if name not in named:
            raise DataError(
                f"{path}, line {number}: the photo must lie in {path.parent / 'images'}, got {name!r}; restore it or "
                "remove the line"
            )
        if name in class_of:
            raise DataError(f"{path}, line {number}: a photo must have one line, got {name!r} again; {_REMEDY}")
        class_of[name] = label
    classes: Classes = {label: [] for label in sorted(set(class_of.values()))}
    for name, photo in named.items():
        if name not in class_of:
            raise DataError(f"{path}: no line for {name!r} in {len(lines)} lines; {_REMEDY}")
        classes[class_of[name]].append(photo)
    if not classes:
        raise DataError(f"{path}: no lines; {_REMEDY}")
    return classes

"""Published test sets of shifted images: their layouts and arrays, and which copy of one a folder holds."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tide.data.folders import Classes, folders_in, part_folder, photos_in, scan_classes, scan_part
from tide.data.photos import MiddleSquare, PhotoSet, whole_square
from tide.data.sets import ImageSet
from tide.errors import DataError, did_you_mean, one_line

SEVERITIES = (1, 2, 3, 4, 5)  # of every published set of corruptions, slight to heavy
CLEAN = "identity"  # MNIST-C has the images as they were, too
SHIFTED = {
    "cifar-10-c": ("cifar-10-c", "cifar10-c"),
    "cifar-100-c": ("cifar-100-c", "cifar100-c"),
    "mnist-c": ("mnist-c",),
    "tiny-imagenet": ("tiny-imagenet", "tiny-imagenet-200"),
    "tiny-imagenet-c": ("tiny-imagenet-c", "tiny-imagenet-200-c"),
    "imagenet-c": ("imagenet-c",),
    "imagenet-r": ("imagenet-r",),
}
"""What the folders of published shifted test sets are called, in small letters and with hyphens."""
_LEVELS = tuple(str(severity) for severity in SEVERITIES)  # what their folders are called
_LAYOUTS = "val/CLASS/, val/images/ with val/val_annotations.txt, CORRUPTION/SEVERITY/CLASS/ or CLASS/ with photos"
_PIECE = 1 << 16  # bytes of a file that its checksum is of
_SAMPLES = 64  # photos of a set that its checksum is of


def locate_shifted(name: str, directory: Path) -> Path | None:
    """Return the folder of a published shifted test set, one of ``SHIFTED``, right below ``directory``; None for none.

    Capitals and underscores do not matter: ``ImageNet-R`` and ``mnist_c`` count, too.
    """
    entries = sorted(directory.iterdir()) if directory.is_dir() else []
    by_name = {entry.name.lower().replace("_", "-"): entry for entry in entries if entry.is_dir()}
    return next((by_name[spelling] for spelling in SHIFTED[name] if spelling in by_name), None)


def load_test_photos(
    directory: str | os.PathLike[str],
    classes: Sequence[str],
    size: int | None,
    channels: int | None,
    *,
    crop: float = 1.0,
    corruption: str | None = None,
    severity: int | None = None,
) -> PhotoSet:
    """Read a folder of photos as a test set for a model.

    The layouts are, tried in this order: ``val/CLASS/*``, the test part of a folder that one can train on;
    ``val/images/*`` with ``val/val_annotations.txt``, as tiny-imagenet has it; ``CORRUPTION/SEVERITY/CLASS/*`` with
    severities 1 to 5, as ImageNet-C has it; ``CLASS/*``, as ImageNet-R has it.

    Photos of one corruption and severity are published cropped (ImageNet-C at 224 pixels, Tiny-ImageNet-C at 64), so
    they are taken whole, also where ``directory`` is the folder of a SEVERITY; of all others the middle is.

    Args:
        directory: the folder.
        classes: the names of the model's classes, in the order of its outputs; the folder may have a part of them.
        size: height and width of the model's images in pixels.
        channels: 1 for grey or 3 for colour.
        crop: share of a photo's shorter side that its square has, where photos are not published cropped.
        corruption: which corruption to take, needed for that layout and for no other.
        severity: which severity to take, needed for that layout and for no other.

    Returns:
        The photos, sorted by class and then by file name, labelled with the places of their classes in ``classes``.

    Raises:
        DataError: the folder fits no layout, has a class that the model does not know, or lacks the corruption or the
            severity; annotations are damaged; or an argument is missing or out of range.
    """
    folder = Path(directory).expanduser()
    if not folder.is_dir():
        raise DataError(f"{folder} must be a folder of photos, got none; check the path")
    corruptions = corruptions_in(folder)
    is_cropped = False  # whether the photos are published as the squares that a model sees
    is_corrupted = False
    if part_folder(folder, "val") is not None:
        files = scan_part(folder, "val")
    elif corruptions:
        files = scan_classes(_corrupted_folder(folder, corruptions, corruption, severity))
        is_cropped = is_corrupted = True
    elif any(photos_in(folder / name) for name in folders_in(folder)):
        files = scan_classes(folder)
        is_cropped = folder.resolve().name in _LEVELS
    else:
        names, photos = folders_in(folder), len(photos_in(folder))
        some = ", ".join(f"{name}/" for name in names[:3]) + (", ..." if len(names) > 3 else "")
        raise DataError(
            f"{folder} must hold {_LAYOUTS}, got {photos} photos and {some or 'no folders'}; give the folder that "
            "holds them"
        )
    if not is_corrupted and (corruption is not None or severity is not None):
        raise DataError(
            f"{folder}: no folders CORRUPTION/SEVERITY/CLASS/ for corruption {corruption!r} and severity {severity}; "
            "leave both out or give another folder"
        )
    _check_known(folder, files, classes)
    return PhotoSet.of_files(files, classes, size, channels, whole_square if is_cropped else MiddleSquare(crop))


def corruptions_in(folder: Path) -> list[str]:
    """Return the folders that hold folders of severities, which hold folders and not photos."""
    return [
        name
        for name in folders_in(folder)
        if any(level in _LEVELS and folders_in(folder / name / level) for level in folders_in(folder / name))
    ]


def severities_in(folder: Path) -> list[int]:
    """Return the severities of one corruption that a folder has, ascending."""
    return sorted(int(level) for level in folders_in(folder) if level in _LEVELS)


def _corrupted_folder(folder: Path, corruptions: list[str], corruption: str | None, severity: int | None) -> Path:
    """Return the folder of the classes of one corruption and severity."""
    if corruption not in corruptions:
        raise DataError(
            f"{folder}: corruption must be one of its {len(corruptions)}, got {corruption!r}"
            f"{did_you_mean(corruption or '', corruptions)}"
        )
    severities = severities_in(folder / corruption)
    if severity not in severities:
        known = ", ".join(str(level) for level in severities)
        raise DataError(f"{folder / corruption}: severity must be one of {known}, got {severity}")
    return folder / corruption / str(severity)


def _check_known(folder: Path, files: Classes, classes: Sequence[str]) -> None:
    """Raise DataError unless the model knows all classes of the files."""
    known = set(classes)
    unknown = [name for name in files if name not in known]
    if unknown:
        hint = did_you_mean(unknown[0], classes)
        if len(classes) > 20 and "did you mean" not in hint:
            hint = f"; the first is {classes[0]!r}"
        raise DataError(
            f"{folder}: classes must be among the model's {len(classes)}, got {len(unknown)} of {len(files)} others, "
            f"the first {unknown[0]!r}; give a folder with the same names{hint}"
        )


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
    images, labels = _read_arrays(directory, name, f"{name}.npy", "labels.npy", cifar_c_names(directory))
    count, rest = divmod(len(images), len(SEVERITIES))
    if rest or count == 0 or len(labels) not in (count, len(images)):
        raise DataError(
            f"{directory}: there must be five times as many images as test images, got {len(images)} images of {name} "
            f"and {len(labels)} labels; restore the files"
        )
    if severity not in SEVERITIES:
        raise DataError(f"severity must be 1 to 5, got {severity}")
    part = slice((severity - 1) * count, severity * count)
    return ImageSet(images[part].contiguous(), labels[part] if len(labels) > count else labels, tuple(classes))


def read_mnist_c(directory: Path, name: str, classes: Sequence[str]) -> ImageSet:
    """Read one corruption of MNIST-C (Mu and Gilmer, arXiv:1906.02337), which has no severities.

    ``NAME/test_images.npy`` holds (N, H, W, C) as uint8, ``NAME/test_labels.npy`` (N,).

    Raises:
        DataError: as :func:`read_cifar_c`.
    """
    names = mnist_c_names(directory)
    images, labels = _read_arrays(directory, name, f"{name}/test_images.npy", f"{name}/test_labels.npy", names)
    return ImageSet(images, labels, tuple(classes))


def _read_arrays(directory: Path, name: str, images: str, labels: str, names: Sequence[str]) -> tuple[Tensor, Tensor]:
    if name not in names:
        raise DataError(
            f"{directory}: corruption must be one of its {len(names)}, got {name!r}{did_you_mean(name, names)}"
        )
    pixels, numbers = _load_array(directory / images), _load_array(directory / labels)
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] not in (1, 3):
        raise DataError(
            f"{directory / images} must be uint8 of shape (N, H, W, 1 or 3), got {pixels.dtype} of shape "
            f"{pixels.shape}; restore the file"
        )
    if numbers.ndim != 1 or not np.issubdtype(numbers.dtype, np.integer):
        raise DataError(
            f"{directory / labels} must be integers of shape (N,), got {numbers.dtype} of shape {numbers.shape}; "
            "restore the file"
        )
    channels_first = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    return torch.from_numpy(channels_first), torch.from_numpy(numbers.astype(np.int64))


def _load_array(file: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    try:
        array: np.ndarray[tuple[int, ...], np.dtype[np.generic]] = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{file}: unreadable array ({one_line(error)[:120]}); restore it") from error
    return array


def checksum_of_files(root: Path, files: Iterable[Path], start: int = 0) -> int:
    """Return a number that two folders share whose files have the same names, lengths and first 64 KiB.

    ``files`` lie below ``root`` and come in an order that does not depend on the file system; ``start`` is a checksum
    to go on from. Raises :class:`DataError` where a file cannot be read.
    """
    for file in files:
        try:
            with file.open("rb") as stream:
                piece, length = stream.read(_PIECE), os.fstat(stream.fileno()).st_size
        except OSError as error:
            raise DataError(f"{file}: {error.strerror or error}; check the path") from error
        start = zlib.crc32(piece, zlib.crc32(f"{file.relative_to(root).as_posix()} {length}\n".encode(), start))
    return start


def checksum_of_photos(root: Path, photos: PhotoSet) -> int:
    """Return a number that tells sets of photos in files apart: by names, labels, and the bytes of some of them."""
    some = torch.linspace(0, len(photos) - 1, min(_SAMPLES, len(photos))).round().long().tolist()
    return checksum_of_files(root, (Path(photos.source.name(place)) for place in some), photos.checksum())


def check_same_photos(root: Path, shifts: Mapping[str, Path]) -> tuple[tuple[str, ...], int]:
    """Return the classes, sorted, and a checksum of a set in ``root``, given the folder ``CLASS/*`` of each shift.

    All shifts must hold the same photos, by class and name without its ending: results are paired over images by their
    positions, which one missing photo would move. Raises :class:`DataError` where they do not.
    """
    first, checksum = "", 0
    classes: tuple[str, ...] = ()
    names_of_first: list[str] = []
    for shift, folder in shifts.items():
        files = scan_classes(folder)
        names = _names(files)
        if not first:
            first, classes, names_of_first = shift, tuple(files), names
            checksum = zlib.crc32("\n".join(names).encode())
        elif names != names_of_first:
            lacking = set(names_of_first) - set(names)
            photo = min(lacking or set(names) - set(names_of_first))
            here, there = (first, shift) if lacking else (shift, first)
            raise DataError(
                f"{root}: photo {photo} must be in every shift, got it in {here} but not in {there}; restore the "
                "published files"
            )
        # One photo of each: shifts may have been made again in another way or with another seed.
        checksum = checksum_of_files(root, [Path(files[min(files)][0])], checksum)
    return classes, checksum


def _names(classes: Classes) -> list[str]:
    return [
        f"{label}/{os.path.splitext(os.path.basename(file))[0]}"  # noqa: PTH119, PTH122 (millions of them)
        for label, files in classes.items()
        for file in files
    ]

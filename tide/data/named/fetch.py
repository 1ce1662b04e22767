"""Fetching named data sets from where they are published, and listing which are there."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tide.data.named.checksum import md5_of
from tide.data.named.download import NetworkError, download
from tide.data.named.places import default_directory, locate, present_files
from tide.data.named.registry import DATA_SETS, Download, find
from tide.data.progress import progress_bar
from tide.errors import DataError

if TYPE_CHECKING:
    from rich.progress import Progress


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
    data_set = find(name)
    root = Path(directory) if directory is not None else default_directory()
    present = locate(data_set, root)
    if present is not None and all(md5_of(path) == md5 for path, md5 in present_files(data_set, present)):
        return present
    if data_set.format == "sklearn":
        raise DataError(
            f"{name}: scikit-learn is not installed, it brings the data and is wanted: run `pip install scikit-learn`"
        )
    address = data_set.address if base_url is None else f"{base_url.rstrip('/')}/"
    if not address.startswith(("http://", "https://")):
        raise DataError(f"address is {base_url!r}, one that starts with http:// or https:// is wanted: correct it")
    folder = root / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with progress_bar("bytes") as bar:
            for item in data_set.downloads:
                _download_missing(item, address, folder, bar)
        for item in data_set.downloads:
            if item.name.endswith(".tar.gz"):
                _extract(folder / item.name, {file.variants[0][0] for file in data_set.files})
    except NetworkError as error:
        wanted = ", ".join(item.name for item in data_set.downloads)
        raise DataError(
            f"{name}: no download ({error}), {wanted} are wanted: run `tide data fetch {name}` again with a network, "
            f"or put them into {folder} yourself and run it then"
        ) from error
    except OSError as error:
        raise DataError(
            f"{folder}: {error.strerror or error}, a folder to write to is wanted: choose another"
        ) from error
    return folder


def status(directory: str | os.PathLike[str] | None = None) -> list[tuple[str, Path | None]]:
    """List the named data sets with the folder where each was found, or None; the files are not checked.

    Args:
        directory: the folder that holds data sets, :func:`tide.data.default_directory` if not given.
    """
    root = Path(directory) if directory is not None else default_directory()
    return [(name, locate(data_set, root)) for name, data_set in DATA_SETS.items()]


def _download_missing(item: Download, address: str, folder: Path, bar: Progress) -> None:
    path = folder / item.name
    if path.is_file() and md5_of(path) == item.md5:
        return
    task = bar.add_task(item.name, total=item.length)
    download(address + item.name, path, item.md5, item.length, report=lambda have: bar.update(task, completed=have))


def _extract(archive: Path, wanted: set[str]) -> None:
    """Take the wanted files out of a tar archive into its folder, then remove the archive."""
    with tarfile.open(archive) as tar:
        for member in tar:
            # Only the last part of a member's path is used, so that nothing is written outside the folder.
            name = PurePosixPath(member.name).name
            if name not in wanted or (source := tar.extractfile(member)) is None:
                continue
            part = archive.with_name(f"{name}.part")
            with part.open("wb") as target:
                shutil.copyfileobj(source, target)
            part.replace(archive.with_name(name))
    archive.unlink()

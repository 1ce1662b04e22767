"""The files of published data sets: where they lie, whether they are the published ones, and downloading them."""

from __future__ import annotations

import hashlib
import http.client
import importlib.util
import os
import shutil
import ssl
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tide.errors import DataError

TRIES = 3
PAUSE = 1.0  # seconds before the second try, doubled before each further one
_TIMEOUT = 30.0  # seconds without a byte
_CHUNK = 1 << 18  # bytes
_NETWORK_ERRORS = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError)


class DataFile(NamedTuple):
    """One file that loading needs: the names it may have on disk, each with its md5, the preferred one first."""

    variants: tuple[tuple[str, str], ...]


class Download(NamedTuple):
    """One published file: its name below the address of its data set, its md5 and its length in bytes."""

    name: str
    md5: str
    length: int


@dataclass(frozen=True, kw_only=True)
class Published:
    """The files of a data set and where they are published.

    Attributes:
        name: what the user calls the set.
        package: the Python package that brings the data along; such a set has no files.
        files: the files that loading needs, in the order in which the reader expects them.
        folders: where the files may lie below a data directory, beside the folder called as the set itself.
        address: the base address of the downloads, ending in a slash.
        downloads: what to fetch: the files themselves, or one archive that holds them.
    """

    name: str
    package: str = ""
    files: tuple[DataFile, ...] = ()
    folders: tuple[str, ...] = ()
    address: str = ""
    downloads: tuple[Download, ...] = ()


def default_directory() -> Path:
    """Return the folder that holds data sets unless the user names another.

    It is the one in environment variable ``TIDE_DATA`` or, if that is unset or empty, ``tide`` in the user's cache
    folder: ``$XDG_CACHE_HOME/tide``, else ``~/.cache/tide``. It need not exist.
    """
    if chosen := os.environ.get("TIDE_DATA"):
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "tide"


def locate(published: Published, directory: Path) -> Path | None:
    """Return the first folder that has every file of a set, without checking what is in the files; None for none.

    The folders are, in this order: ``directory/NAME``, ``directory/NAME/raw``, the places below ``directory`` where
    other libraries put the set, and ``directory`` itself. A set of a package lies in that.
    """
    if published.package:
        return package_folder(published.package)
    for place in (published.name, f"{published.name}/raw", *published.folders):
        if present_files(published, directory / place):
            return directory / place
    files = present_files(published, directory)
    # MNIST and Fashion-MNIST call their files the same: in a folder of no name only the md5 tells them apart.
    return directory if files and _is_whole(*min(files, key=lambda file: file[0].stat().st_size)) else None


def package_folder(package: str) -> Path | None:
    """Return the folder of an installed package, without importing it; None where it is missing."""
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def present_files(published: Published, folder: Path) -> list[tuple[Path, str]]:
    """Return the path and the expected md5 of each file of a set, or nothing if ``folder`` lacks one."""
    files = []
    for file in published.files:
        present = next(((folder / name, md5) for name, md5 in file.variants if (folder / name).is_file()), None)
        if present is None:
            return []
        files.append(present)
    return files


def verified_files(published: Published, directory: Path) -> list[Path]:
    """Return the paths of the files of a set below a data directory, checked against their published md5.

    Raises :class:`DataError` where files are missing, cannot be read or are others.
    """
    folder = locate(published, directory)
    if folder is None:
        names = ", ".join(file.variants[0][0] for file in published.files)
        raise DataError(
            f"{published.name}: no files in {directory}; put {names} into {directory / published.name} or run "
            f"`tide data fetch {published.name}`"
        )
    files = present_files(published, folder)
    for path, md5 in files:
        actual = md5_of(path)
        if actual != md5:
            raise DataError(f"{path}: md5 must be {md5}, got {actual}; {remedy(published.name)}")
    return [path for path, _ in files]


def md5_of(path: Path) -> str:
    """Return the md5 of a file as 32 hexadecimal digits; raises :class:`DataError` where it cannot be read."""
    try:
        with path.open("rb") as stream:
            # A guard against damage, not against an adversary; md5 is what the publishers give.
            return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; check the path") from error


def remedy(name: str) -> str:
    """Return what to do about a damaged file of the data set ``name``."""
    return f"delete it and run `tide data fetch {name}`"


def download_set(published: Published, directory: Path, base_url: str | None = None) -> Path:
    """Download what is missing of a set into ``directory/NAME``, and return the folder that has all its files.

    ``base_url`` is the address of a mirror. Raises :class:`DataError` as :func:`tide.data.fetch` does.
    """
    name = published.name
    present = locate(published, directory)
    if present is not None and all(_is_whole(path, md5) for path, md5 in present_files(published, present)):
        return present
    if published.package:
        raise DataError(f"{name}: package {published.package} brings the data and is not installed; install it")
    address = published.address if base_url is None else f"{base_url.rstrip('/')}/"
    if not address.startswith(("http://", "https://")):
        raise DataError(f"address must start with http:// or https://, got {base_url!r}")
    folder = directory / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _download_missing(published.downloads, address, folder)
        for item in published.downloads:
            if item.name.endswith(".tar.gz"):
                _extract(folder / item.name, {file.variants[0][0] for file in published.files})
    except _NetworkFailure as error:
        names = ", ".join(item.name for item in published.downloads)
        raise DataError(
            f"{name}: no download ({error}); run `tide data fetch {name}` again with a network, or put {names} into "
            f"{folder} yourself and run it then"
        ) from error
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror or error}; choose another folder to write to") from error
    return folder


class _NetworkFailure(Exception):
    """A file could not be downloaded after all tries; what came of it is kept for the next run."""


def _is_whole(path: Path, md5: str) -> bool:
    return path.is_file() and md5_of(path) == md5


def _download_missing(downloads: tuple[Download, ...], address: str, folder: Path) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    silent = not sys.stderr.isatty()
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), disable=silent) as bar:
        for item in downloads:
            if _is_whole(folder / item.name, item.md5):
                continue
            task = bar.add_task(item.name, total=item.length)

            def report(have: int, task: int = task) -> None:
                bar.update(task, completed=have)  # type: ignore[arg-type]  # rich's number of a task is a NewType

            _download(address + item.name, folder / item.name, item, report)


def _download(url: str, path: Path, item: Download, report: Callable[[int], None]) -> None:
    """Download ``url`` to ``path``, going on with ``path`` + ``.part`` if an earlier run left one."""
    part = path.with_name(f"{path.name}.part")
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        resumed = part.exists()
        try:
            _transfer(url, part, item.length, report)
            actual = md5_of(part)
            if actual == item.md5:
                part.replace(path)
                return
            part.unlink()
            if resumed:
                # What lay there may have been of another file: only a fresh download proves the server wrong.
                raise ConnectionError(f"md5 must be {item.md5}, got {actual} after resuming")
        except _NETWORK_ERRORS as error:
            failure = error
        else:
            raise DataError(f"{url}: md5 must be {item.md5}, got {actual}, not kept; try again or use another mirror")
    raise _NetworkFailure(f"{url}: {getattr(failure, 'reason', failure)} ({TRIES} tries)")


def _transfer(url: str, part: Path, length: int, report: Callable[[int], None]) -> None:
    """Append what is missing to ``part``, raising ConnectionError if the server ends too early."""
    have = part.stat().st_size if part.exists() else 0
    report(have)
    if have >= length:
        return
    headers = {"User-Agent": "tide-dynamics"} | ({"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT) as response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            have = 0  # the server sends all of it whatever was asked for
        with part.open("ab" if have else "wb") as file:
            # A server that sends more than the file is long has another file, which the md5 will tell.
            while have < length and (chunk := response.read(_CHUNK)):
                file.write(chunk)
                have += len(chunk)
                report(have)
    if have < length:
        raise ConnectionError(f"{have} of {length} bytes came")


def _extract(archive: Path, names: set[str]) -> None:
    """Take the files of these names out of a tar archive into its folder, then remove the archive."""
    with tarfile.open(archive) as tar:
        for member in tar:
            # Only the last part of a member's path is used, so that nothing is written outside the folder.
            name = PurePosixPath(member.name).name
            if name not in names or (source := tar.extractfile(member)) is None:
                continue
            part = archive.with_name(f"{name}.part")
            with part.open("wb") as target:
                shutil.copyfileobj(source, target)
            part.replace(archive.with_name(name))
    archive.unlink()

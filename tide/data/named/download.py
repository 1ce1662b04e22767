"""Downloading one file over HTTP: retried, resumed, checked and put in place whole."""

from __future__ import annotations

import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from tide.data.named.checksum import md5_of
from tide.errors import DataError

TRIES = 3
PAUSE = 1.0  # seconds before the second try, doubled before each further one
_TIMEOUT = 30.0  # seconds without a byte
_CHUNK = 1 << 18  # bytes
_NETWORK_ERRORS = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError)


class NetworkError(Exception):
    """A file could not be downloaded after all tries; what came of it is kept for the next run."""


def download(url: str, path: Path, md5: str, length: int, report: Callable[[int], None]) -> None:
    """Download ``url`` to ``path``, going on with ``path`` + ``.part`` if an earlier run left one.

    Args:
        url: address of the file.
        path: where to put it once it is whole and right; its folder must exist.
        md5: the md5 that it must have.
        length: the number of bytes that it must have.
        report: called with the number of bytes that are there.

    Raises:
        NetworkError: the server could not be reached or broke off, in every one of three tries.
        DataError: what came has another md5; it is not kept.
        OSError: the file could not be written.
    """
    part = path.with_name(f"{path.name}.part")
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        resumed = part.exists()
        try:
            _transfer(url, part, length, report)
            found = md5_of(part)
            if found == md5:
                part.replace(path)
                return
            part.unlink()
            if resumed:
                # What lay there may have been of another file: only a fresh download proves the server wrong.
                raise ConnectionError(f"md5 is {found} after resuming, {md5} is wanted")
        except _NETWORK_ERRORS as error:
            failure = error
        else:
            raise DataError(f"{url}: md5 is {found}, {md5} is wanted; it was not kept: try again or use another mirror")
    raise NetworkError(f"{url}: {getattr(failure, 'reason', failure)} ({TRIES} tries)")


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

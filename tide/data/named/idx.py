"""The IDX files of MNIST and Fashion-MNIST, raw or compressed with gzip."""

from __future__ import annotations

import gzip
import io
import math
import struct
import zlib
from pathlib import Path

import torch
from torch import Tensor

from tide.data.named.checksum import remedy
from tide.errors import DataError

_GZIP_MAGIC = b"\x1f\x8b"
_UNSIGNED_BYTE = 0x08


def read_idx(path: Path, name: str) -> Tensor:
    """Read one IDX file of unsigned bytes.

    Args:
        path: the file; whether it is compressed is seen from its first bytes, not from its name.
        name: the data set it belongs to, for the remedy in error messages.

    Returns:
        A uint8 tensor of the shape that the file states: (N, H, W) for images, (N,) for labels.

    Raises:
        DataError: the file cannot be read, is truncated or corrupted, or is not an IDX file of unsigned bytes.
    """
    try:
        with path.open("rb") as raw:
            compressed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            if not compressed:
                return _parse(raw, path, name)
            with gzip.open(raw) as stream:
                return _parse(stream, path, name)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip data ({error}), a whole file is wanted: {remedy(name)}") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}, a readable file is wanted: {remedy(name)}") from error


def _parse(stream: io.BufferedIOBase, path: Path, name: str) -> Tensor:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] != _UNSIGNED_BYTE or magic[3] == 0:
        raise DataError(f"{path}: magic is 0x{magic.hex()}, 0x00000801 or 0x00000803 is wanted: {remedy(name)}")
    dimensions = magic[3]
    header = stream.read(4 * dimensions)
    if len(header) < 4 * dimensions:
        raise DataError(f"{path}: there are {len(header)} header bytes, {4 * dimensions} are wanted: {remedy(name)}")
    shape = struct.unpack(f">{dimensions}I", header)
    # Reading everything, rather than what the header announces, shows bytes too many and lets gzip check its CRC.
    data = stream.read()
    if len(data) != math.prod(shape) or not data:
        wanted = math.prod(shape) or "at least 1"
        raise DataError(f"{path}: there are {len(data)} data bytes, {wanted} are wanted for {shape}: {remedy(name)}")
    # The copy into a bytearray gives the tensor memory that it may write to.
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).view(shape)

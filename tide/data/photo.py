"""Decoding one photo of any kind and size."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor

from tide.errors import DataError

if TYPE_CHECKING:
    from PIL import Image


def decode(path_or_file: str | os.PathLike[str] | IO[bytes], size: int, channels: int) -> Tensor:
    """Decode a photo into the square in its middle.

    The photo is turned as its EXIF orientation says, put on white where it is transparent, reduced from 16 to 8 bits
    where it has them, converted to gray or RGB, and scaled with antialiasing so that its shorter side has ``size``
    pixels; of the longer side the middle is kept. Of an animation the first picture is taken.

    Args:
        path_or_file: path of the photo or an open binary file, in any format that Pillow reads.
        size: height and width of the result in pixels, at least 1.
        channels: 1 for gray or 3 for red, green and blue.

    Returns:
        Pixel values 0..255, uint8, shape (channels, size, size).

    Raises:
        DataError: the photo cannot be read, or ``size`` or ``channels`` is out of range.
    """
    from PIL import Image, ImageOps

    check_format(size, channels)
    try:
        with Image.open(cast("str | Path | IO[bytes]", path_or_file)) as opened:
            # Lets the JPEG decoder skip detail far below the size wanted; it changes nothing for other formats.
            opened.draft(None, (2 * size, 2 * size))
            image = _flatten(ImageOps.exif_transpose(opened), "L" if channels == 1 else "RGB")
            pixels = np.array(ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC))
    # Besides OSError, Pillow's readers let these through when data are damaged.
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{_name_of(path_or_file)}: unreadable photo met ({reason}), a whole image wanted: replace or remove it"
        ) from error
    return torch.from_numpy(pixels.reshape(size, size, channels)).permute(2, 0, 1).contiguous()


def check_format(size: int | None, channels: int | None) -> tuple[int, int]:
    """Return ``size`` and ``channels`` if photos can be brought to them.

    Raises:
        DataError: ``size`` is missing or below 1, or ``channels`` is not 1 or 3.
    """
    if size is None or size < 1:
        raise DataError(f"photo size {size} met, at least 1 wanted: give the height and width in pixels")
    if channels not in (1, 3):
        raise DataError(f"photo channels {channels} met, 1 or 3 wanted: give 1 for gray or 3 for colour")
    return size, channels


def _flatten(image: Image.Image, mode: str) -> Image.Image:
    """Return an opaque 8-bit image of the given mode."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits, or 32 with 16 in use
        image = Image.fromarray((np.clip(np.array(image), 0, 65535) / 257).round().astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


def _name_of(path_or_file: str | os.PathLike[str] | IO[bytes]) -> str:
    if isinstance(path_or_file, str | os.PathLike):
        return os.fspath(path_or_file)
    return str(getattr(path_or_file, "name", "photo"))

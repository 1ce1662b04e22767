"""Decoding one photo of any kind and size."""

from __future__ import annotations

import math
import os
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tide.data.photos.crop import Box, centre_crop
from tide.errors import DataError, check_path, one_line

if TYPE_CHECKING:
    from PIL import Image

_LARGE = 2**26  # pixels above which a photo is made smaller before anything is done with it, for the sake of memory
_AT_ONCE = 2**20  # pixels of a photo that are converted at a time
_SPARE = 2  # a decoder may skip detail, but must leave this many times the pixels wanted in each direction


def decode(
    path_or_file: str | os.PathLike[str] | IO[bytes],
    size: int,
    channels: int,
    *,
    crop: float = 1.0,
    bilinear: bool = False,
) -> Tensor:
    """Decode a photo into the square in its middle.

    The photo is turned as its EXIF orientation says, put on white where it is transparent, reduced to 8 bits where it
    has more (by their own range), converted to grey or RGB, and scaled with antialiasing. Of an animation the first
    picture is taken.

    Args:
        path_or_file: path of the photo or an open binary file, in any format that Pillow reads.
        size: height and width of the result in pixels, at least 1.
        channels: 1 for grey or 3 for red, green and blue.
        crop: share of the shorter side that the square has, in (0, 1]; see
            :func:`~tide.data.photos.crop.centre_crop`.
        bilinear: whether to scale bilinearly; else bicubically.

    Returns:
        Pixel values 0..255, uint8, shape (channels, size, size).

    Raises:
        DataError: the photo cannot be read, or ``size`` or ``channels`` is out of range.
    """
    if not 0 < crop <= 1:
        raise DataError(f"photo crop is {crop}, above 0 and at most 1 is wanted: 1 keeps the whole square")
    choose = partial(centre_crop, size=size, share=crop)
    return decode_part(path_or_file, size, channels, choose, bilinear=bilinear)


def decode_part(
    path_or_file: str | os.PathLike[str] | IO[bytes],
    size: int,
    channels: int,
    choose: Callable[[int, int], Box],
    *,
    mirrored: bool = False,
    bilinear: bool = False,
) -> Tensor:
    """Decode a part of a photo, scaled with antialiasing to a square.

    The photo is turned, made opaque and converted as by :func:`decode`.

    Args:
        path_or_file: path of the photo or an open binary file, in any format that Pillow reads.
        size: height and width of the result in pixels, at least 1.
        channels: 1 for grey or 3 for red, green and blue.
        choose: is called with the width and height in pixels of the upright photo and returns the part wanted: left,
            upper, right and lower edge within them, fractions allowed.
        mirrored: whether to mirror the result left to right.
        bilinear: whether to scale bilinearly; else bicubically.

    Returns:
        Pixel values 0..255, uint8, shape (channels, size, size).

    Raises:
        DataError: the photo cannot be read, or ``size`` or ``channels`` is out of range.
    """
    from PIL import Image

    check_format(size, channels)
    mode = "L" if channels == 1 else "RGB"
    with _opened(path_or_file) as photo:
        width, height = photo.size[::-1] if _on_its_side(photo) else photo.size
        box = choose(width, height)
        # The part, not only the photo, keeps more detail than is wanted. One scale serves both directions, so that it
        # does not matter here whether the photo lies on its side.
        detail = _SPARE * size / min(box[2] - box[0], box[3] - box[1])
        photo.draft(None, (math.ceil(photo.width * detail), math.ceil(photo.height * detail)))
        image = _upright(_smaller(photo, math.floor(1 / detail), mode), mode)
        across, down = image.width / width, image.height / height
        left, top = box[0] * across, box[1] * down
        right, bottom = min(box[2] * across, image.width), min(box[3] * down, image.height)
        resampling = Image.Resampling.BILINEAR if bilinear else Image.Resampling.BICUBIC
        pixels = _to_tensor(image.resize((size, size), resampling, box=(left, top, right, bottom)))
    return pixels.flip(2) if mirrored else pixels


def check_format(size: int | None, channels: int | None) -> tuple[int, int]:
    """Return ``size`` and ``channels`` if photos can be brought to them.

    Raises:
        DataError: ``size`` is missing or below 1, or ``channels`` is not 1 or 3.
    """
    if not isinstance(size, int) or size < 1:
        raise DataError(f"photo size is {size}, at least 1 is wanted: give the height and width in pixels")
    if channels not in (1, 3):
        raise DataError(f"photo channels are {channels}, 1 or 3 are wanted: give 1 for grey or 3 for colour")
    return size, channels


@contextmanager
def _opened(path_or_file: str | os.PathLike[str] | IO[bytes]) -> Iterator[Image.Image]:
    """Open a photo and say in one line what is wrong with it, whether that shows now or while it is decoded."""
    from PIL import Image

    if not hasattr(path_or_file, "read"):
        check_path("photo", path_or_file)
    _expect_large()
    try:
        with Image.open(cast("str | Path | IO[bytes]", path_or_file)) as photo:
            yield photo
    except Image.DecompressionBombError as error:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise DataError(
            f"{_name_of(path_or_file)}: too large a photo ({one_line(error)}), at most {most} megapixels are wanted: "
            "scale it down or remove it"
        ) from error
    # Besides OSError, Pillow's readers let these through when data are damaged.
    except (
        OSError,
        ValueError,
        SyntaxError,
        RuntimeError,
        EOFError,
        struct.error,
    ) as error:
        raise DataError(
            f"{_name_of(path_or_file)}: unreadable photo ({one_line(error)}), a whole image is wanted: replace or "
            "remove it"
        ) from error


@cache
def _expect_large() -> None:
    """Take large photos without Pillow's warning; the largest are still refused."""
    from PIL import Image

    warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def _on_its_side(photo: Image.Image) -> bool:
    """Tell whether the EXIF orientation swaps width and height; of a TIFF, Pillow gives the upright size already."""
    from PIL import ExifTags

    return photo.format != "TIFF" and photo.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)


def _smaller(photo: Image.Image, factor: int, mode: str) -> Image.Image:
    """Return a very large photo at a whole fraction of its size, piece by piece: no other copy of it is needed."""
    from PIL import Image

    if photo.width * photo.height <= _LARGE or factor < 2:
        return photo
    photo.load()  # which turns a TIFF upright
    size = math.ceil(photo.width / factor), math.ceil(photo.height / factor)
    if photo.mode.startswith(("I", "F")):  # their scale is that of the whole photo, so they are not converted yet
        return photo.resize(size, Image.Resampling.NEAREST)
    small = Image.new(mode, size)
    small.info = {key: value for key, value in photo.info.items() if key != "transparency"}  # the orientation, too
    side = factor * max(1, math.isqrt(_AT_ONCE) // factor)
    for left, top in product(range(0, photo.width, side), range(0, photo.height, side)):
        piece = photo.crop((left, top, min(left + side, photo.width), min(top + side, photo.height)))
        small.paste(_flatten(piece, mode).reduce(factor), (left // factor, top // factor))
    return small


def _upright(photo: Image.Image, mode: str) -> Image.Image:
    """Return a photo as an opaque 8-bit image, turned as its EXIF orientation says."""
    from PIL import ImageOps

    ImageOps.exif_transpose(photo, in_place=True)
    return _flatten(photo, mode)


def _flatten(image: Image.Image, mode: str) -> Image.Image:
    """Return an opaque 8-bit image of the given mode."""
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_eight_bits(np.array(image)))
    if "A" in image.getbands() or "transparency" in image.info:
        opaque = Image.new(mode, image.size)
        for top in range(0, image.height, rows := max(1, _AT_ONCE // image.width)):
            strip = image.crop((0, top, image.width, min(top + rows, image.height))).convert("RGBA")
            white = Image.new("RGBA", strip.size, "white")
            opaque.paste(Image.alpha_composite(white, strip).convert(mode), (0, top))
        return opaque
    return image if image.mode == mode else image.convert(mode)


def _eight_bits(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return grey values of more than 8 bits, or floats, on the scale 0..255.

    Whole numbers are taken for those of the least of 8, 10, 12, 14 and 16 bits that holds them all: cameras write 12
    bits into files of 16, which would come out almost black. Floats are in 0..1, or in 0..255. Raises ValueError for
    others.
    """
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError("pixels that are not finite")
    if np.issubdtype(values.dtype, np.floating):
        highest = 1.0 if high <= 1 else 255.0
    else:
        highest = float(next((2**bits for bits in (8, 10, 12, 14, 16) if high < 2**bits), 0) - 1)
    if low < 0 or not highest > 0 or high > highest:
        raise ValueError(f"grey values from {low:g} to {high:g}, of which the scale is unknown")
    scaled = np.empty(values.shape, np.uint8)
    for rows in range(0, len(values), step := max(1, _AT_ONCE // values.shape[1])):
        scaled[rows : rows + step] = (values[rows : rows + step] / highest * 255).round()
    return scaled


def _to_tensor(image: Image.Image) -> Tensor:
    """Return the pixels of an image in grey or RGB, uint8, shape (channels, height, width)."""
    pixels = np.array(image).reshape(image.height, image.width, -1)
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def _name_of(path_or_file: str | os.PathLike[str] | IO[bytes]) -> str:
    if isinstance(path_or_file, str | os.PathLike):
        return os.fspath(path_or_file)
    return str(getattr(path_or_file, "name", "photo"))

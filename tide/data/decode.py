"""One photo of any kind and size, and which part of it a model sees: at random for training, the middle for tests."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import IO, TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from tide.errors import DataError, check_path, one_line

if TYPE_CHECKING:
    from PIL import Image

AREA = (0.08, 1.0)  # share of the photo that a random crop covers
RATIO = (3 / 4, 4 / 3)  # width over height of a random crop
TRIES = 10
COLOURED = 8  # grey values by which channels differ in the mean, above what compression makes of grey
SPARE = 2  # a decoder may skip detail, but must leave this many times the pixels of the result in each direction

Box = tuple[float, float, float, float]
"""Left, upper, right and lower edge in pixels, the last two exclusive."""


def random_crop(width: int, height: int, draws: Random) -> tuple[int, int, int, int]:
    """Draw the part of a photo that a training step sees, as in "Going deeper with convolutions" (2015), section 6.

    The area is uniform in 8 to 100 % of the photo's, the logarithm of width over height is uniform between those of
    3/4 and 4/3, and the place is uniform. A part that does not fit into the photo is drawn anew; after ten tries the
    largest part in the middle is taken whose ratio is within those bounds. Only ``draws.random()`` is called, which
    gives the same numbers for the same seed with every version of Python. Returns a :data:`Box` in whole pixels.
    """
    low, high = (math.log(ratio) for ratio in RATIO)
    for _ in range(TRIES):
        area = width * height * (AREA[0] + (AREA[1] - AREA[0]) * draws.random())
        ratio = math.exp(low + (high - low) * draws.random())
        wide, tall = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < wide <= width and 0 < tall <= height:
            left = int(draws.random() * (width - wide + 1))
            top = int(draws.random() * (height - tall + 1))
            return left, top, left + wide, top + tall
    wide = min(width, round(height * RATIO[1]))
    tall = min(height, round(width / RATIO[0]))
    left, top = (width - wide) // 2, (height - tall) // 2
    return left, top, left + wide, top + tall


def centre_crop(width: int, height: int, size: int, share: float = 1.0) -> Box:
    """Return the square in the middle of a photo that a test sees, as a :data:`Box` with fractions.

    It is what remains of the photo when its shorter side is scaled to ``size`` / ``share`` pixels, rounded, and the
    square of ``size`` pixels in the middle is cut out: with 0.875 the usual one of ImageNet, 224 of 256 pixels.
    """
    side = min(width, height) * size / round(size / share)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def decode(
    path_or_file: str | os.PathLike[str] | IO[bytes],
    size: int,
    channels: int,
    *,
    crop: float = 1.0,
    bilinear: bool = False,
) -> Tensor:
    """Decode a photo into the square in its middle.

    The photo is turned as its EXIF orientation says, put on white where it is transparent, scaled from 16 to 8 bits
    where it has as many, converted to grey or RGB, and scaled with antialiasing. Of an animation the first picture is
    taken.

    Args:
        path_or_file: path of the photo or an open binary file, in any format that Pillow reads.
        size: height and width of the result in pixels, at least 1.
        channels: 1 for grey or 3 for red, green and blue.
        crop: share of the shorter side that the square has, in (0, 1]; see :func:`~tide.data.decode.centre_crop`.
        bilinear: whether to scale bilinearly; else bicubically.

    Returns:
        Pixel values 0..255, uint8, shape (channels, size, size).

    Raises:
        DataError: the photo cannot be read or is too large (179 megapixels, Pillow's limit), or an argument is out of
            range.
    """
    if not 0 < crop <= 1:
        raise DataError(f"photo crop must be above 0 and at most 1, got {crop!r}; 1 keeps the whole square")
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
    """Decode a part of a photo into a square: as :func:`decode`, which see for arguments, result and errors.

    ``choose`` is called with the width and height in pixels of the upright photo and returns the part to decode;
    ``mirrored`` mirrors the result left to right.
    """
    from PIL import Image, ImageOps

    check_format(size, channels)
    with _opened(path_or_file) as photo:
        if min(photo.size) < 1:
            raise ValueError("no pixels")
        width, height = photo.size[::-1] if _on_its_side(photo) else photo.size
        left, top, right, bottom = choose(width, height)
        # The part, not only the photo, keeps more detail than the result. One scale serves both directions, so that it
        # does not matter here whether the photo lies on its side.
        detail = SPARE * size / min(right - left, bottom - top)
        photo.draft(None, (math.ceil(photo.width * detail), math.ceil(photo.height * detail)))
        ImageOps.exif_transpose(photo, in_place=True)
        image = _opaque(photo, "L" if channels == 1 else "RGB")
        across, down = image.width / width, image.height / height
        box = (left * across, top * down, min(right * across, image.width), min(bottom * down, image.height))
        resampling = Image.Resampling.BILINEAR if bilinear else Image.Resampling.BICUBIC
        square = np.array(image.resize((size, size), resampling, box=box)).reshape(size, size, -1)
    pixels = torch.from_numpy(square).permute(2, 0, 1).contiguous()
    return pixels.flip(2) if mirrored else pixels


class Traits(NamedTuple):
    """What a photo is before it is brought to a size: pixels of its upright form, and whether it has colours."""

    width: int
    height: int
    coloured: bool


def traits(path: Path) -> Traits:
    """Return what a photo is; raises :class:`DataError` as :func:`decode` does."""
    with _opened(path) as photo:
        size = photo.size[::-1] if _on_its_side(photo) else photo.size
    red, green, blue = decode(path, 32, 3).float().unbind(0)
    return Traits(*size, bool(((red - green).abs() + (green - blue).abs()).mean() > COLOURED))


def check_format(size: int | None, channels: int | None) -> tuple[int, int]:
    """Return ``size`` and ``channels`` if photos can be brought to them; raises :class:`DataError` otherwise."""
    if not isinstance(size, int) or size < 1:
        raise DataError(f"photo size must be at least 1, got {size!r}; give the height and width in pixels")
    if channels not in (1, 3):
        raise DataError(f"photo channels must be 1 for grey or 3 for colour, got {channels!r}")
    return size, channels


@contextmanager
def _opened(path_or_file: str | os.PathLike[str] | IO[bytes]) -> Iterator[Image.Image]:
    """Open a photo and say in one line what is wrong with it, whether that shows now or while it is decoded."""
    from PIL import Image

    if isinstance(path_or_file, str | os.PathLike) or not hasattr(path_or_file, "read"):
        check_path("photo", path_or_file)
        name = os.fspath(cast("str | os.PathLike[str]", path_or_file))
    else:
        name = str(getattr(path_or_file, "name", "photo"))
    _accept_large_photos()
    try:
        with Image.open(cast("str | Path | IO[bytes]", path_or_file)) as photo:
            yield photo
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise DataError(
            f"{name}: a photo must have at most {limit} megapixels ({one_line(error)}); scale it down or remove it"
        ) from error
    except MemoryError:
        raise
    # Pillow's readers let any error through when data are damaged.
    except Exception as error:
        raise DataError(f"{name}: unreadable photo ({one_line(error)}); replace or remove it") from error


@cache
def _accept_large_photos() -> None:
    """Take photos of up to Pillow's limit without its warning at half of it."""
    from PIL import Image

    warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def _on_its_side(photo: Image.Image) -> bool:
    """Tell whether the EXIF orientation swaps width and height; of a TIFF, Pillow gives the upright size already."""
    from PIL import ExifTags

    return photo.format != "TIFF" and photo.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)


def _opaque(image: Image.Image, mode: str) -> Image.Image:
    """Return an opaque 8-bit image of the given mode; raises ValueError for pixels of an unknown scale."""
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        # Some versions of Pillow give 16 bits of a PNG or PGM in a mode of 32.
        if not image.mode.startswith("I;16") and not (image.mode == "I" and image.format in ("PNG", "PPM")):
            raise ValueError(f"pixels of mode {image.mode}, must have 8 or 16 bits a channel")
        image = Image.fromarray((np.array(image) / 65535 * 255).round().astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image if image.mode == mode else image.convert(mode)

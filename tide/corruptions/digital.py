"""What storing and transmitting does: coarse pixels and JPEG."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tide.corruptions.draws import Bytes, Draws
from tide.corruptions.tables import Row

if TYPE_CHECKING:
    from PIL import Image


def pixelate(images: Bytes, row: Row, draws: Draws) -> Bytes:
    """Shrink to the share ``row[0]`` of each side, rounded down, and enlarge again, both with Pillow's box filter."""
    from PIL import Image

    height, width = images.shape[2:]
    small = (max(1, int(width * row[0])), max(1, int(height * row[0])))

    def coarse(photo: Image.Image) -> Image.Image:
        return photo.resize(small, Image.Resampling.BOX).resize((width, height), Image.Resampling.BOX)

    return _each(images, coarse)


def jpeg_compression(images: Bytes, row: Row, draws: Draws) -> Bytes:
    """Write as JPEG of quality ``row[0]`` with Pillow, and read again. Grey images stay grey on the way.

    The bytes depend on the JPEG library that Pillow was built with.
    """
    from PIL import Image

    quality = int(row[0])

    def compressed(photo: Image.Image) -> Image.Image:
        stored = io.BytesIO()
        photo.save(stored, "JPEG", quality=quality)
        return Image.open(stored)

    return _each(images, compressed)


def _each(images: Bytes, change: Callable[[Image.Image], Image.Image]) -> Bytes:
    """Send the images through Pillow one by one."""
    from PIL import Image

    grey = images.shape[1] == 1
    photos = images[:, 0] if grey else np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    changed = np.stack([np.asarray(change(Image.fromarray(photo))) for photo in photos])
    return changed[:, None] if grey else changed.transpose(0, 3, 1, 2)

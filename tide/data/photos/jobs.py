"""What a worker process does: turns a list of photos into a tensor, and says which of them it could not read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import IO, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from tide.data.orders import derive_seed
from tide.data.photos.crop import random_crop
from tide.data.photos.decode import decode, decode_part
from tide.data.photos.sources import EncodedPhotos, PhotoSource
from tide.errors import DataError

Decoder = Callable[[str | IO[bytes], int, int, int], Tensor]
"""Turns a photo's file, its position in the set, a size and channels into an image (channels, size, size), uint8.

Worker processes get a copy, so it must survive pickling. It raises DataError for an unreadable photo.
"""


@dataclass(frozen=True)
class MiddleSquare:
    """The decoder of a test: the square in the middle that has ``crop`` of the shorter side, wherever a photo lies."""

    crop: float = 1.0

    def __call__(self, file: str | IO[bytes], position: int, size: int, channels: int) -> Tensor:
        """See ``Decoder``."""
        return decode(file, size, channels, crop=self.crop)


MIDDLE: Decoder = MiddleSquare()


def whole_square(file: str | IO[bytes], position: int, size: int, channels: int) -> Tensor:
    """Decode a published photo that is cropped already: nothing is cut off its square, and one of ``size`` is as it is.

    Any other size is scaled bilinearly.
    """
    return decode(file, size, channels, bilinear=True)


class Decoded(NamedTuple):
    """Images (B, C, H, W) as uint8, the B positions of their photos, and what was wrong with others by position."""

    images: Tensor
    positions: list[int]
    unreadable: dict[int, str]


class Squares(Dataset[Decoded]):
    """The photos asked for as a test sees them, without the unreadable ones."""

    def __init__(self, source: PhotoSource, size: int, channels: int, decoder: Decoder) -> None:
        """Take the photos from ``source`` and let ``decoder`` bring them to (``channels``, ``size``, ``size``)."""
        self.source, self.size, self.channels, self.decoder = source, size, channels, decoder

    def __getitem__(self, request: list[int]) -> Decoded:
        """Decode the photos at the positions in ``request``."""
        images, unreadable = _room(len(request), self.channels, self.size), {}
        positions: list[int] = []
        for position in request:
            try:
                images[len(positions)] = self.decoder(self.source.open(position), position, self.size, self.channels)
                positions.append(position)
            except DataError as error:
                unreadable[position] = str(error)
        return Decoded(images[: len(positions)], positions, unreadable)


class Crops(Dataset[Decoded]):
    """Random crops of the photos asked for; in place of an unreadable one comes the next readable one."""

    def __init__(self, source: PhotoSource, size: int, channels: int, limit: int, *, flip: bool) -> None:
        """Take the photos from ``source``, decode them to (``channels``, ``size``, ``size``).

        ``flip`` mirrors them with probability 1/2. More than ``limit`` unreadable photos end the search for readable
        ones: the main process stops then anyway.
        """
        self.source, self.size, self.channels, self.limit, self.flip = source, size, channels, limit, flip

    def __getitem__(self, request: tuple[list[int], int]) -> Decoded:
        """Decode the photos at the positions in ``request``, cropped as its seed determines."""
        wanted, seed = request
        images = _room(len(wanted), self.channels, self.size)
        positions: list[int] = []
        unreadable: dict[int, str] = {}
        for slot, position in enumerate(wanted):
            taken = self._fill(images[slot], position, derive_seed(seed, slot), unreadable)
            if taken is None:
                return Decoded(images[:0], [], unreadable)
            positions.append(taken)
        return Decoded(images, positions, unreadable)

    def _fill(self, image: Tensor, position: int, seed: int, unreadable: dict[int, str]) -> int | None:
        """Decode the first readable photo from ``position`` on into ``image``; return its position, None for none."""
        for step in range(len(self.source)):
            candidate = (position + step) % len(self.source)
            if candidate in unreadable:
                continue
            # Each candidate is cropped with the same numbers, whichever were tried before it.
            draws = Random(seed)
            mirrored = draws.random() < 0.5 and self.flip
            choose = partial(random_crop, draws=draws)
            try:
                image.copy_(
                    decode_part(self.source.open(candidate), self.size, self.channels, choose, mirrored=mirrored)
                )
                return candidate
            except DataError as error:
                unreadable[candidate] = str(error)
                if len(unreadable) > self.limit:
                    return None
        return None


class EncodedCrops(Dataset[Decoded]):
    """Random crops of photos that come with the request; in place of an unreadable one comes the next in it."""

    def __init__(self, size: int, channels: int, limit: int, *, flip: bool) -> None:
        """Crop as :class:`Crops` with these settings does."""
        self.size, self.channels, self.limit, self.flip = size, channels, limit, flip

    def __getitem__(self, request: tuple[EncodedPhotos, int]) -> Decoded:
        """Decode the photos of ``request``, cropped as its seed determines."""
        photos, seed = request
        crops = Crops(photos, self.size, self.channels, self.limit, flip=self.flip)
        images, taken, unreadable = crops[list(range(len(photos))), seed]
        positions = [photo.position for photo in photos.photos]
        return Decoded(images, [positions[i] for i in taken], {positions[i]: said for i, said in unreadable.items()})


def _room(count: int, channels: int, size: int) -> Tensor:
    """Return room for images; in a worker, where the main process can see it, so that it need not be copied."""
    images = torch.empty(count, channels, size, size, dtype=torch.uint8)
    if get_worker_info() is None:
        return images
    try:
        images.share_memory_()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        # Raised here and not when the batch is sent, where PyTorch would drop the batch and wait for it forever.
        raise MemoryError(f"shared memory: {error}") from error
    return images

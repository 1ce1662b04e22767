"""Batches of photos, decoded by worker processes ahead of their use: in test order, and cropped in training order."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tide.data.checks import check_at_least, check_positions
from tide.data.photos.jobs import Crops, Decoded, Squares
from tide.data.photos.workers import prefetch
from tide.data.sets import Batch
from tide.errors import DataError

if TYPE_CHECKING:
    from tide.data.photos.photo_set import PhotoSet


def squares_of(photos: PhotoSet, batch: int, positions: Tensor | None = None) -> Generator[Batch, None, None]:
    """Decode photos one after the other as their set's decoder does, by default to the square in their middle.

    Unreadable photos are left out: a batch may be smaller for it, and ``positions`` of the batches has gaps.

    Args:
        photos: the photos.
        batch: photos in a batch, at least 1.
        positions: which photos to decode, in this order, int64, shape (n,); all if not given.

    Yields:
        The batches. Closing the generator, or letting go of it, ends the processes.

    Raises:
        DataError: an argument is out of range, more photos than the set's limit or all are unreadable, or a process
            died.
    """
    check_at_least(("batch", batch, 1))
    if positions is None:
        positions = torch.arange(len(photos))
    check_positions(positions, len(photos))
    requests = (positions[start : start + batch].tolist() for start in range(0, len(positions), batch))
    squares = Squares(photos.source, photos.size, photos.channels, photos.decoder)
    return _batches(photos, prefetch(squares, requests, photos.decoding.workers))


def crops_of(photos: PhotoSet, requests: Iterable[tuple[Tensor, int]], *, flip: bool) -> Generator[Batch, None, None]:
    """Decode a random crop of each photo asked for.

    The random numbers of slot k of a request derive from its seed and k alone: a batch depends on its request and on
    nothing before it, and not on the number of processes. In place of an unreadable photo comes the next readable one
    of the set, after the last the first.

    Args:
        photos: the photos.
        requests: for each batch, the photos wanted (int64, shape (B,), B at least 1) and a seed. They are taken ahead
            of the batches, so that the workers have something to do, and may be endless.
        flip: whether to mirror a crop left to right with probability 1/2.

    Yields:
        A batch for each request, in their order; ``positions`` are those of the photos that were taken. Closing the
        generator, or letting go of it, ends the processes.

    Raises:
        DataError: a position is out of range, more photos than the set's limit or all are unreadable, or a process
            died.
    """
    asked = checked(requests, len(photos))
    crops = Crops(photos.source, photos.size, photos.channels, photos.decoding.limit, flip=flip)
    return _batches(photos, prefetch(crops, asked, photos.decoding.workers))


def checked(requests: Iterable[tuple[Tensor, int]], count: int) -> Iterator[tuple[list[int], int]]:
    """Yield requests of some of ``count`` photos as lists of positions and seeds; raises DataError at a wrong one."""
    for index, seed in requests:
        check_positions(index, count)
        yield index.tolist(), int(seed)


def _batches(photos: PhotoSet, stream: Generator[Decoded, None, None]) -> Generator[Batch, None, None]:
    with closing(stream):
        for images, positions, unreadable in stream:
            photos.note_unreadable(unreadable)
            if positions:
                yield Batch(images, photos.labels[positions], torch.tensor(positions))
            elif len(photos.unreadable) == len(photos):
                raise DataError(
                    f"there are {len(photos)} unreadable photos and no other, at least one readable photo is wanted: "
                    f"replace them, the first is {photos.source.name(0)}"
                )

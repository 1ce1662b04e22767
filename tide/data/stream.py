"""Batches of photos, decoded by worker processes ahead of their use: in test order, and cropped in training order."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from tide.data.arguments import check_at_least, check_positions
from tide.data.decoding import Crops, Decoded, Squares
from tide.data.photos import Photos
from tide.data.prefetch import prefetch
from tide.errors import DataError

if TYPE_CHECKING:
    from tide.data.photo_set import PhotoSet

LIMIT = 100  # unreadable photos that a data set may have


class PhotoBatch(NamedTuple):
    """Decoded photos (B, C, H, W) as uint8, their labels (B,) and their positions in the set (B,), both int64."""

    images: Tensor
    labels: Tensor
    positions: Tensor


def squares_of(
    photos: PhotoSet,
    batch: int,
    *,
    workers: int,
    positions: Tensor | None = None,
    limit: int = LIMIT,
    on_unreadable: Callable[[str], None] | None = None,
) -> Generator[PhotoBatch, None, None]:
    """Decode photos one after the other as their set's decoder does, by default to the square in their middle.

    Unreadable photos are left out: a batch may be smaller for it, and ``positions`` of the batches has gaps.

    Args:
        photos: the photos.
        batch: photos in a batch, at least 1.
        workers: processes that decode; with 0 the photos are decoded in this process, with the same result.
        positions: which photos to decode, in this order, int64, shape (n,); all if not given.
        limit: unreadable photos of the set to put up with, at least 0.
        on_unreadable: called in this process with a line about each unreadable photo, once for the life of the set.

    Yields:
        The batches. Closing the generator, or letting go of it, ends the processes.

    Raises:
        DataError: an argument is out of range, more than ``limit`` photos or all are unreadable, or a process died.
    """
    check_at_least(("batch", batch, 1), ("workers", workers, 0), ("limit", limit, 0))
    if positions is None:
        positions = torch.arange(len(photos))
    check_positions(positions, len(photos))
    requests = (positions[start : start + batch].tolist() for start in range(0, len(positions), batch))
    squares = Squares(photos.source, photos.size, photos.channels, photos.decoder)
    return _batches(photos, prefetch(squares, requests, workers), limit, on_unreadable)


def crops_of(
    photos: PhotoSet,
    requests: Iterable[tuple[Tensor, int]],
    *,
    flip: bool,
    workers: int,
    limit: int = LIMIT,
    on_unreadable: Callable[[str], None] | None = None,
) -> Generator[PhotoBatch, None, None]:
    """Decode a random crop of each photo asked for.

    The random numbers of slot k of a request derive from its seed and k alone: a batch depends on its request and on
    nothing before it, and not on the number of processes. In place of an unreadable photo comes the next readable one
    of the set, after the last the first.

    Args:
        photos: the photos.
        requests: for each batch, the photos wanted (int64, shape (B,), B at least 1) and a seed. They are taken ahead
            of the batches, so that the workers have something to do, and may be endless.
        flip: whether to mirror a crop left to right with probability 1/2.
        workers: processes that decode; with 0 the photos are decoded in this process, with the same result.
        limit: unreadable photos of the set to put up with, at least 0.
        on_unreadable: called in this process with a line about each unreadable photo, once for the life of the set.

    Yields:
        A batch for each request, in their order; ``positions`` are those of the photos that were taken. Closing the
        generator, or letting go of it, ends the processes.

    Raises:
        DataError: an argument is out of range, more than ``limit`` photos or all are unreadable, or a process died.
    """
    check_at_least(("workers", workers, 0), ("limit", limit, 0))
    asked = checked(requests, len(photos))
    crops = Crops(photos.source, photos.size, photos.channels, limit, flip=flip)
    return _batches(photos, prefetch(crops, asked, workers), limit, on_unreadable)


def checked(requests: Iterable[tuple[Tensor, int]], count: int) -> Iterator[tuple[list[int], int]]:
    """Yield requests of some of ``count`` photos as lists of positions and seeds; raises DataError at a wrong one."""
    for index, seed in requests:
        check_positions(index, count)
        yield index.tolist(), int(seed)


def _batches(
    photos: PhotoSet,
    stream: Generator[Decoded, None, None],
    limit: int,
    on_unreadable: Callable[[str], None] | None,
) -> Generator[PhotoBatch, None, None]:
    with closing(stream):
        for images, positions, unreadable in stream:
            report_unreadable(photos, unreadable, limit, on_unreadable)
            if positions:
                yield PhotoBatch(images, photos.labels[positions], torch.tensor(positions))
            elif len(photos.unreadable) == len(photos):
                raise DataError(
                    f"{len(photos)} unreadable photos and no other met, at least one readable photo wanted: "
                    f"replace them, the first is {photos.source.name(0)}"
                )


def report_unreadable(
    photos: Photos, unreadable: dict[int, str], limit: int, on_unreadable: Callable[[str], None] | None
) -> None:
    """Note unreadable photos, report those not yet known, and raise DataError once there are too many."""
    for position, message in unreadable.items():
        if position not in photos.unreadable:
            photos.unreadable[position] = message
            if on_unreadable is not None:
                on_unreadable(message)
        if len(photos.unreadable) > limit:
            first, *_, last = (*photos.unreadable, position)
            raise DataError(
                f"{len(photos.unreadable)} unreadable photos met, at most {limit} wanted: replace or remove them; "
                f"the first is {photos.source.name(first)}, the last {photos.source.name(last)}"
            )

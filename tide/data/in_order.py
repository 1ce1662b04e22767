"""Batches of any split in the order of its images, as an evaluation asks for them."""

from __future__ import annotations

from collections.abc import Callable, Generator

import torch
from torch import Tensor

from tide.data.photo_set import PhotoSet, PhotoSplits
from tide.data.sets import ImageSet, Splits
from tide.data.stream import LIMIT, PhotoBatch

LabelledImages = ImageSet | PhotoSet
"""A split: images in memory, or photos that are decoded when they are used."""

AnySplits = Splits | PhotoSplits
"""A data set in its two parts, in memory or not."""


def in_order(
    split: LabelledImages,
    batch: int,
    *,
    positions: Tensor | None = None,
    workers: int = 0,
    limit: int = LIMIT,
    on_unreadable: Callable[[str], None] | None = None,
) -> Generator[PhotoBatch, None, None]:
    """Yield the images of a split in batches, with their labels and positions.

    Args:
        split: images in memory, or photos, each of which is decoded to the square in its middle.
        batch: images in a batch, at least 1; fewer where photos are unreadable and left out.
        positions: which images, in this order, int64, shape (n,); all if not given.
        workers, limit, on_unreadable: for photos, as in :func:`tide.data.stream.squares_of`.

    Raises:
        DataError: as :func:`tide.data.stream.squares_of`.
    """
    if isinstance(split, PhotoSet):
        yield from split.batches(batch, workers=workers, positions=positions, limit=limit, on_unreadable=on_unreadable)
        return
    chosen = torch.arange(len(split)) if positions is None else positions
    for start in range(0, len(chosen), batch):
        index = chosen[start : start + batch]
        some = split.select(index.to(split.images.device))
        yield PhotoBatch(some.images, some.labels, index)

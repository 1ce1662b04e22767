"""Labelled photos that are decoded when they are used, for data that do not fit into memory."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from tide.data.photos.batch import crops_of, squares_of
from tide.data.photos.decode import check_format
from tide.data.photos.jobs import MIDDLE, Decoder
from tide.data.photos.reading import Decoding, Photos
from tide.data.photos.sources import ChosenPhotos, PhotoFiles, PhotoSource
from tide.data.sets import Batch, ImageSet, check_labels
from tide.errors import DataError

DECODED_AT_ONCE = 64  # photos


@dataclass(frozen=True, eq=False)
class PhotoSet(Photos):
    """Labelled photos, each decoded to one size whenever it is used.

    Attributes:
        source: the photos, at least one.
        labels: class number of each photo, int64, shape (N,), values 0..len(classes)-1.
        classes: the name of each class.
        size: height and width of the decoded images in pixels, at least 1.
        channels: channels of the decoded images: 1 for grey or 3 for colour.
        decoder: how a photo becomes an image in a test; training crops in a way of its own.
        decoding: by how many processes, and what to do about unreadable photos.
        unreadable: what was wrong with each photo that could not be read so far, by its position. All streams of this
            set share it, so that each photo is reported once.

    Raises:
        DataError: there are no photos, or a type, shape or value is not as above.
    """

    source: PhotoSource
    labels: Tensor
    classes: tuple[str, ...]
    size: int
    channels: int
    decoder: Decoder = MIDDLE
    decoding: Decoding = field(default_factory=Decoding)
    unreadable: dict[int, str] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        check_format(self.size, self.channels)
        if len(self.source) == 0:
            raise DataError("there are 0 photos, at least 1 is wanted: give more data")
        check_labels(self.labels, len(self.source), self.classes)

    @classmethod
    def of_files(
        cls,
        files: Mapping[str, Sequence[str]],
        classes: Sequence[str],
        size: int | None,
        channels: int | None,
        decoder: Decoder = MIDDLE,
    ) -> PhotoSet:
        """Return the set of the photos that lie in files.

        Args:
            files: the paths of the photos of each class, all of them in ``classes``.
            classes: the name of each class; may name more than ``files`` has.
            size: height and width of the decoded images in pixels.
            channels: 1 for grey or 3 for colour.
            decoder: how a photo becomes an image in a test.

        Returns:
            The photos in the order of ``files``, with the place of their class in ``classes`` as label.

        Raises:
            DataError: there are no photos, or ``size`` or ``channels`` is missing or out of range.
        """
        size, channels = check_format(size, channels)
        numbers = {name: number for number, name in enumerate(classes)}
        counts = torch.tensor([len(photos) for photos in files.values()], dtype=torch.int64)
        labels = torch.tensor([numbers[name] for name in files], dtype=torch.int64).repeat_interleave(counts)
        source = PhotoFiles(photo for photos in files.values() for photo in photos)
        return cls(source, labels, tuple(classes), size, channels, decoder)

    def batches(self, batch: int, *, positions: Tensor | None = None) -> Generator[Batch, None, None]:
        """Decode the photos one after the other as for a test: see :func:`tide.data.photos.batch.squares_of`."""
        return squares_of(self, batch, positions)

    def crops(self, requests: Iterable[tuple[Tensor, int]], *, flip: bool = True) -> Generator[Batch, None, None]:
        """Decode random crops of the photos as for training: see :func:`tide.data.photos.batch.crops_of`."""
        return crops_of(self, requests, flip=flip)

    def select(self, index: slice | Tensor) -> ImageSet:
        """Decode the photos of a slice, or at positions (n,), into memory, as for a test; of unreadable ones it warns.

        Raises:
            DataError: there are none, or too many or all are unreadable.
        """
        positions = torch.arange(len(self))[index]
        telling = self.decoded_with(Decoding(limit=self.decoding.limit, on_unreadable=warnings.warn))
        parts = list(telling.batches(DECODED_AT_ONCE, positions=positions))
        if not parts:
            raise DataError(
                f"there are {len(positions)} unreadable photos and no other, at least one readable photo is wanted: "
                f"replace them, the first is {self.source.name(int(positions[0]))}"
            )
        images, labels, _ = (torch.cat(column) for column in zip(*parts, strict=True))
        return ImageSet(images, labels, self.classes)

    def part(self, positions: Tensor) -> PhotoSet:
        """Return the set of the photos at ``positions`` (n,), in that order; none is decoded."""
        return replace(self, source=ChosenPhotos(self.source, positions), labels=self.labels[positions])

    def checksum(self) -> int:
        """Return a number that two sets of the same photos, in the same order, share, wherever they lie.

        By labels, and of about a thousand of them by name and, where they are files of their own, size in bytes.
        """
        some = range(0, len(self), max(1, len(self) // 1000))
        told = "\n".join(f"{Path(self.source.name(index)).name} {self.source.size(index)}" for index in some)
        return zlib.crc32(told.encode(), zlib.crc32(self.labels.numpy().tobytes()))

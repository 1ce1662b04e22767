"""Labelled photos that are read one after the other, for training on data that lie elsewhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tide.data.checks import check_at_least
from tide.data.hub.parquet import RowGroups
from tide.data.hub.read_ahead import read_ahead
from tide.data.orders import StreamOrder
from tide.data.photos.batch import checked
from tide.data.photos.decode import check_format
from tide.data.photos.jobs import EncodedCrops
from tide.data.photos.photo_set import PhotoSet
from tide.data.photos.reading import Decoding, Photos
from tide.data.photos.sources import EncodedPhoto, EncodedPhotos
from tide.data.photos.workers import prefetch
from tide.data.sets import Batch, ImageSet
from tide.errors import DataError


@dataclass(frozen=True, eq=False)
class PhotoStream(Photos):
    """Labelled photos in row groups, of which only a part is held in memory at any time.

    Attributes:
        source: the photos, at least one.
        classes: the name of each class.
        size: height and width of the decoded images in pixels, at least 1.
        channels: channels of the decoded images: 1 for grey or 3 for colour.
        buffer: photos that are shuffled together, and that are read ahead of their use, at least 1.
        decoding: by how many processes, and what to do about unreadable photos.
        unreadable: what was wrong with each photo that could not be read so far, by its position.

    Raises:
        DataError: there are no photos, or a value is not as above.
    """

    source: RowGroups
    classes: tuple[str, ...]
    size: int
    channels: int
    buffer: int
    decoding: Decoding = field(default_factory=Decoding)
    unreadable: dict[int, str] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        check_format(self.size, self.channels)
        check_at_least(("buffer", self.buffer, 1))
        if len(self.source) == 0:
            raise DataError(f"{self.source.title} has 0 photos, at least 1 is wanted: give more data")

    def order(self, lanes: int, seed: int) -> StreamOrder:
        """Return an order for :meth:`crops` that reads every row group once in an epoch.

        Raises:
            DataError: there are fewer row groups than lanes.
        """
        return StreamOrder(self.source.sizes, lanes, self.buffer, seed)

    def crops(
        self, requests: Iterable[tuple[Tensor, int]], *, flip: bool = True, ahead: int = 1
    ) -> Generator[Batch, None, None]:
        """Decode random crops of the photos asked for: as :func:`tide.data.photos.batch.crops_of` does, bit for bit.

        A row group is read when one of its photos is wanted that is not in memory, and a photo leaves memory when it
        is used. So requests in the order of :meth:`order` hold about ``buffer`` photos of each lane; in any other
        order the result is right, but much is read again or held. In place of an unreadable photo comes the next
        readable one of its request.

        Args:
            requests: for each batch, the photos wanted (int64, shape (B,), B at least 1) and a seed.
            flip: whether to mirror a crop left to right with probability 1/2.
            ahead: requests whose photos a thread reads before they are used, at least 1.

        Yields:
            A batch for each request, in their order. Closing the generator, or letting go of it, ends what reads.

        Raises:
            DataError: an argument is out of range, a file cannot be read, all photos of a request or more than the
                stream's limit are unreadable, or a process died.
        """
        check_at_least(("ahead", ahead, 1))
        crops = EncodedCrops(self.size, self.channels, self.decoding.limit, flip=flip)
        return self._batches(crops, read_ahead(self._read(checked(requests, len(self))), ahead))

    def _batches(
        self, crops: EncodedCrops, read: Generator[tuple[EncodedPhotos, int], None, None]
    ) -> Generator[Batch, None, None]:
        asked: deque[dict[int, int]] = deque()

        def noted() -> Iterator[tuple[EncodedPhotos, int]]:
            for photos, seed in read:
                asked.append({photo.position: photo.label for photo in photos.photos})
                yield photos, seed

        with closing(read), closing(prefetch(crops, noted(), self.decoding.workers)) as decoded:
            for images, positions, unreadable in decoded:
                labels = asked.popleft()
                self.note_unreadable(unreadable)
                if not positions:
                    raise DataError(
                        f"there are {len(labels)} unreadable photos in a row, at least one readable photo of each "
                        f"batch is wanted: replace them, the first is {self.source.name(min(labels))}"
                    )
                yield Batch(images, torch.tensor([labels[p] for p in positions]), torch.tensor(positions))

    def select(self, index: slice | Tensor) -> ImageSet:
        """Decode the photos of a slice, or at positions (n,), into memory, as for a test; of unreadable ones it warns.

        Raises:
            DataError: there are none, they cannot be read, or too many or all are unreadable.
        """
        positions = torch.arange(len(self))[index]
        (photos, _), *_ = self._read([(positions.tolist(), 0)])
        labels = torch.tensor([photo.label for photo in photos.photos], dtype=torch.int64)
        return PhotoSet(photos, labels, self.classes, self.size, self.channels).select(slice(None))

    def checksum(self) -> int:
        """Return a number that two streams of the same files share."""
        return self.source.checksum()

    def _read(self, requests: Iterable[tuple[list[int], int]]) -> Iterator[tuple[EncodedPhotos, int]]:
        held: dict[int, EncodedPhoto] = {}
        for positions, seed in requests:
            photos = []
            for position in positions:
                if position not in held:
                    group = self.source.read(self.source.group_of(position))
                    self._check_labels(group)
                    held.update((photo.position, photo) for photo in group)
                photos.append(held.pop(position))
            yield EncodedPhotos(photos), seed

    def _check_labels(self, photos: list[EncodedPhoto]) -> None:
        for photo in photos:
            if not 0 <= photo.label < len(self.classes):
                raise DataError(
                    f"{photo.name}: label is {photo.label}, 0..{len(self.classes) - 1} is wanted: correct the label"
                )

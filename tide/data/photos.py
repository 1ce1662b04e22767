"""Labelled photos that are decoded when they are used, by the worker processes of PyTorch's DataLoader."""

from __future__ import annotations

import os
import sys
import warnings
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import IO, Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from tide.data.decode import check_format, decode, decode_part, random_crop
from tide.data.orders import derive_seed
from tide.data.sets import Batch, Decoding, ImageSet, check_at_least, check_labels
from tide.data.workers import prefetch
from tide.errors import DataError

BAR_FROM = 500  # photos; fewer are decoded before a bar could be read


class PhotoSource(Protocol):
    """Photos by number, from 0. Worker processes get a copy, so it must survive pickling."""

    def __len__(self) -> int:
        """Return the number of photos."""

    def name(self, index: int) -> str:
        """Return what a message calls photo ``index``."""

    def size(self, index: int) -> int | None:
        """Return the size of photo ``index`` in bytes where that is known without reading it."""

    def open(self, index: int) -> str | IO[bytes]:
        """Return the path of photo ``index`` or a file of its bytes; raises :class:`DataError` where there are none."""


class PhotoFiles:
    """Photos that are files of their own.

    The paths lie in one piece of memory that worker processes share. Of separate texts a worker would come to own a
    copy merely by reading them, since Python counts the references to a text in the text itself.
    """

    def __init__(self, files: Iterable[str]) -> None:
        """Keep the paths ``files``."""
        paths = [os.fsencode(file) for file in files]
        self._paths = b"".join(paths)
        self._edges = np.cumsum([0, *map(len, paths)], dtype=np.int64)

    def __len__(self) -> int:
        """Return the number of photos."""
        return len(self._edges) - 1

    def name(self, index: int) -> str:
        """Return the path of photo ``index``."""
        return os.fsdecode(self._paths[self._edges[index] : self._edges[index + 1]])

    def size(self, index: int) -> int | None:
        """Return the size of file ``index`` in bytes, None where it is gone."""
        try:
            return Path(self.name(index)).stat().st_size
        except OSError:
            return None

    def open(self, index: int) -> str:
        """Return the path of photo ``index``."""
        return self.name(index)


@dataclass(frozen=True)
class _ChosenPhotos:
    """The photos of a source at ``positions`` (n,), numbered anew."""

    source: PhotoSource
    positions: np.ndarray[tuple[int, ...], np.dtype[np.int64]]

    def __len__(self) -> int:
        return len(self.positions)

    def name(self, index: int) -> str:
        return self.source.name(int(self.positions[index]))

    def size(self, index: int) -> int | None:
        return self.source.size(int(self.positions[index]))

    def open(self, index: int) -> str | IO[bytes]:
        return self.source.open(int(self.positions[index]))


Decoder = Callable[[str | IO[bytes], int, int, int], Tensor]
"""Turns a photo's file, its position in the set, a size and channels into an image (channels, size, size), uint8.

Worker processes get a copy, so it must survive pickling. It raises DataError for an unreadable photo.
"""


@dataclass(frozen=True)
class MiddleSquare:
    """The decoder of a test: the square in the middle that has ``crop`` of the shorter side."""

    crop: float = 1.0

    def __call__(self, file: str | IO[bytes], position: int, size: int, channels: int) -> Tensor:
        """See ``Decoder``."""
        return decode(file, size, channels, crop=self.crop)


def whole_square(file: str | IO[bytes], position: int, size: int, channels: int) -> Tensor:
    """Decode a published photo that is cropped already: nothing is cut off its square, and one of ``size`` is as it is.

    Any other size is scaled bilinearly.
    """
    return decode(file, size, channels, bilinear=True)


@dataclass(frozen=True, eq=False)
class PhotoSet:
    """Labelled photos, each decoded to one size whenever it is used.

    Attributes:
        source: the photos, at least one.
        labels: class number of each photo, int64, shape (N,), values 0..len(classes)-1.
        classes: the name of each class.
        size: height and width of the decoded images in pixels, at least 1.
        channels: channels of the decoded images: 1 for grey or 3 for colour.
        decoder: how a photo becomes an image in a test; training crops in a way of its own.
        decoding: by how many processes, and what to do about unreadable photos.
        unreadable: what was wrong with each photo that could not be read so far, by its position. Sets of the same
            photos share it, so that each is reported once.

    Raises:
        DataError: there are no photos, or a type, shape or value is not as above.
    """

    source: PhotoSource
    labels: Tensor
    classes: tuple[str, ...]
    size: int
    channels: int
    decoder: Decoder = field(default_factory=MiddleSquare)
    decoding: Decoding = field(default_factory=Decoding)
    unreadable: dict[int, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        check_format(self.size, self.channels)
        check_at_least(("number of photos", len(self.source), 1))
        check_labels(self.labels, len(self.source), self.classes)

    @classmethod
    def of_files(
        cls,
        files: Mapping[str, Sequence[str]],
        classes: Sequence[str],
        size: int | None,
        channels: int | None,
        decoder: Decoder,
    ) -> PhotoSet:
        """Return the set of the photos that lie in ``files``, the paths of each class, in their order.

        ``classes`` names all classes, also such as ``files`` lacks; a label is the place of a photo's class there.
        Raises :class:`DataError` where there are no photos, or ``size`` (pixels) or ``channels`` is out of range.
        """
        size, channels = check_format(size, channels)
        numbers = {name: number for number, name in enumerate(classes)}
        counts = torch.tensor([len(photos) for photos in files.values()], dtype=torch.int64)
        labels = torch.tensor([numbers[name] for name in files], dtype=torch.int64).repeat_interleave(counts)
        source = PhotoFiles(photo for photos in files.values() for photo in photos)
        return cls(source, labels, tuple(classes), size, channels, decoder)

    def __len__(self) -> int:
        """Return the number of photos, readable or not."""
        return len(self.source)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a decoded image."""
        return self.channels, self.size, self.size

    def decoded_with(self, decoding: Decoding) -> PhotoSet:
        """Return the same photos, decoded in this way."""
        return replace(self, decoding=decoding)

    def part(self, positions: Tensor) -> PhotoSet:
        """Return the set of the photos at ``positions`` (n,), in that order; none is decoded."""
        chosen = _ChosenPhotos(self.source, positions.numpy())
        return replace(self, source=chosen, labels=self.labels[positions], unreadable={})

    def checksum(self) -> int:
        """Return a number that two sets of the same photos, in the same order, share, wherever they lie.

        By labels, and of about a thousand of them by name and, where they are files of their own, size in bytes.
        """
        some = range(0, len(self), max(1, len(self) // 1000))
        text = "\n".join(f"{Path(self.source.name(index)).name} {self.source.size(index)}" for index in some)
        return zlib.crc32(text.encode(), zlib.crc32(self.labels.numpy().tobytes()))

    def batches(self, batch: int, *, positions: Tensor | None = None) -> Generator[Batch, None, None]:
        """Yield the photos as the set's decoder has them, in batches; all in order, or those at ``positions`` (n,).

        Unreadable photos are left out: a batch may be smaller for it, and ``positions`` of the batches has gaps.
        Closing the generator, or letting go of it, ends the worker processes. Raises :class:`DataError` where an
        argument is out of range, more photos than the limit or all are unreadable, or a process died.
        """
        check_at_least(("batch", batch, 1))
        positions = torch.arange(len(self)) if positions is None else positions
        _check_positions(positions, len(self))
        requests = (positions[start : start + batch].tolist() for start in range(0, len(positions), batch))
        return self._batches(_Squares(self), requests)

    def crops(self, requests: Iterable[tuple[Tensor, int]], *, flip: bool = True) -> Generator[Batch, None, None]:
        """Yield a random crop of each photo that is asked for, as in training.

        The random numbers of slot k of a request derive from its seed and k alone: a batch depends on its request and
        on nothing before it, and not on the number of workers. In place of an unreadable photo comes the next readable
        one of the set, after the last the first. Errors and the end are as of :meth:`batches`.

        Args:
            requests: for each batch, its photos (int64, shape (B,), B at least 1) and a seed. They are taken ahead of
                the batches, so that the workers have something to do, and may be endless.
            flip: whether to mirror a crop left to right with probability 1/2.
        """

        def slots() -> Iterator[list[tuple[int, int]]]:
            for index, seed in requests:
                _check_positions(index, len(self))
                yield [(position, derive_seed(seed, slot)) for slot, position in enumerate(index.tolist())]

        return self._batches(_Crops(self, flip=flip), slots())

    def select(self, index: slice | Tensor) -> ImageSet:
        """Decode the photos of a slice, or at positions (n,), into memory, as for a test; of unreadable ones it warns.

        Raises :class:`DataError` where there are none, or too many or all are unreadable.
        """
        positions = torch.arange(len(self))[index]
        images = torch.empty(len(positions), *self.shape, dtype=torch.uint8)
        failures: dict[int, str] = {}

        def place(row: int, position: int) -> None:
            try:
                images[row] = self.decoder(self.source.open(position), position, self.size, self.channels)
            except DataError as error:
                failures[position] = str(error)

        # Threads suffice: Pillow lets go of Python's lock while it decodes and scales.
        with ThreadPoolExecutor() as pool, _progress(len(positions)) as advance:
            for _ in pool.map(place, range(len(positions)), positions.tolist()):
                advance()
        if not failures:
            return ImageSet(images, self.labels[positions], self.classes)
        decoding = replace(self.decoding, on_unreadable=warnings.warn)
        self.decoded_with(decoding)._note_unreadable(dict(sorted(failures.items())))
        readable = torch.tensor([position not in failures for position in positions.tolist()])
        if not bool(readable.any()):
            raise self._none_readable(len(positions), int(positions[0]))
        return ImageSet(images[readable], self.labels[positions[readable]], self.classes)

    def _batches(self, dataset: Dataset[_Sample], requests: Iterator[Any]) -> Generator[Batch, None, None]:
        with closing(prefetch(dataset, requests, _stacked, self.decoding.workers)) as stream:
            for images, positions, unreadable in stream:
                self._note_unreadable(unreadable)
                if positions:
                    yield Batch(images, self.labels[positions], torch.tensor(positions))
                elif len(self.unreadable) == len(self):
                    raise self._none_readable(len(self), 0)

    def _note_unreadable(self, messages: Mapping[int, str]) -> None:
        """Note and report unreadable photos by position; raises DataError once there are too many."""
        for position, message in messages.items():
            if position not in self.unreadable:
                self.unreadable[position] = message
                if self.decoding.on_unreadable is not None:
                    self.decoding.on_unreadable(message)
            if len(self.unreadable) > self.decoding.limit:
                first, *_, last = (*self.unreadable, position)
                raise DataError(
                    f"at most {self.decoding.limit} photos may be unreadable, got {len(self.unreadable)}; replace or "
                    f"remove them, the first is {self.source.name(first)}, the last {self.source.name(last)}"
                )

    def _none_readable(self, count: int, first: int) -> DataError:
        return DataError(
            f"at least one photo must be readable, got {count} unreadable ones; replace them, the first is "
            f"{self.source.name(first)}"
        )


def _check_positions(positions: Tensor, count: int) -> None:
    if positions.dtype != torch.int64 or positions.ndim != 1 or len(positions) == 0:
        kind = f"{str(positions.dtype).removeprefix('torch.')} of shape {tuple(positions.shape)}"
        raise DataError(f"positions must be int64 of shape (B,) with B at least 1, got {kind}")
    low, high = (int(value) for value in positions.aminmax())
    if low < 0 or high >= count:
        raise DataError(f"position must be 0..{count - 1} for {count} photos, got {low if low < 0 else high}")


@contextmanager
def _progress(count: int) -> Iterator[Callable[[], None]]:
    """Show a bar to people while ``count`` photos are decoded, where they are many."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    silent = count < BAR_FROM or not sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), disable=silent) as bar:
        yield partial(bar.advance, bar.add_task("decoding photos", total=count))


class _Sample(NamedTuple):
    """A decoded photo, None for none; its position; and what was wrong with others that were tried, by position."""

    image: Tensor | None
    position: int
    unreadable: dict[int, str]


class _Decoded(NamedTuple):
    """Images (B, C, H, W), uint8, the B positions of their photos, and what was wrong with others by position."""

    images: Tensor
    positions: list[int]
    unreadable: dict[int, str]


class _Squares(Dataset[_Sample]):
    """Photos by position, as a test sees them."""

    def __init__(self, photos: PhotoSet) -> None:
        self.source, self.decoder, self.format = photos.source, photos.decoder, (photos.size, photos.channels)

    def __getitem__(self, position: int) -> _Sample:
        try:
            return _Sample(self.decoder(self.source.open(position), position, *self.format), position, {})
        except DataError as error:
            return _Sample(None, position, {position: str(error)})


class _Crops(Dataset[_Sample]):
    """Random crops of photos by position and seed; in place of an unreadable one comes the next readable one."""

    def __init__(self, photos: PhotoSet, *, flip: bool) -> None:
        self.source, self.format, self.flip = photos.source, (photos.size, photos.channels), flip
        self.tries = min(len(photos), photos.decoding.limit + 1)  # after more the set is refused anyway

    def __getitem__(self, request: tuple[int, int]) -> _Sample:
        position, seed = request
        unreadable: dict[int, str] = {}
        for _ in range(self.tries):
            # Each candidate is cropped with the same numbers, whichever were tried before it.
            draws = Random(seed)
            mirrored = draws.random() < 0.5 and self.flip
            choose = partial(random_crop, draws=draws)
            try:
                image = decode_part(self.source.open(position), *self.format, choose, mirrored=mirrored)
                return _Sample(image, position, unreadable)
            except DataError as error:
                unreadable[position] = str(error)
                position = (position + 1) % len(self.source)
        return _Sample(None, position, unreadable)


def _stacked(samples: list[_Sample]) -> _Decoded:
    """Put photos into a batch; in a worker into memory that the main process sees, so that it need not be copied."""
    unreadable = {position: message for sample in samples for position, message in sample.unreadable.items()}
    positions = [sample.position for sample in samples if sample.image is not None]
    images = [sample.image for sample in samples if sample.image is not None]
    if not images:
        return _Decoded(torch.empty(0, dtype=torch.uint8), [], unreadable)
    room = torch.empty(len(images), *images[0].shape, dtype=torch.uint8)
    if get_worker_info() is not None:
        try:
            room.share_memory_()  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            # Raised here and not when the batch is sent, where PyTorch would drop the batch and wait for it forever.
            raise MemoryError(f"shared memory: {error}") from error
    return _Decoded(torch.stack(images, out=room), positions, unreadable)

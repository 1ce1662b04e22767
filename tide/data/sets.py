"""What a data set offers, labelled images in memory, their checks and their statistics per channel."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self

import torch
from torch import Tensor

from tide.errors import DataError

UNREADABLE_LIMIT = 100
"""Unreadable photos that a set may have unless the user says otherwise."""


class Batch(NamedTuple):
    """Images (B, C, H, W) as uint8, or other inputs; their labels (B, *S) and positions in the set (B,), both int64."""

    images: Any
    labels: Tensor
    positions: Tensor


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How photos that are not in memory are decoded.

    Attributes:
        workers: processes that decode; with 0 photos are decoded in this process, with the same result.
        limit: unreadable photos of the set that are left out, at least 0; one more is an error.
        on_unreadable: called in this process with a line about each unreadable photo, once for each photo.

    Raises:
        DataError: a number is below 0.
    """

    workers: int = 0
    limit: int = UNREADABLE_LIMIT
    on_unreadable: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        check_at_least(("workers", self.workers, 0), ("limit", self.limit, 0))


class TrainingSet(Protocol):
    """Labelled images to learn from, in memory or not: the feeds of :mod:`tide.train.feed` take them in order."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The name of each class."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width of an image; the shape of another input."""

    def __len__(self) -> int:
        """Return the number of images."""

    def select(self, index: slice | Tensor) -> Any:
        """Return the images of a slice, or at positions (n,), in memory: an :class:`ImageSet`; drawn, a batch."""

    def checksum(self) -> int:
        """Return a number that two sets of the same images, in the same order, share."""

    def decoded_with(self, decoding: Decoding) -> Self:
        """Return the same images; photos that are not in memory are decoded in this way."""


class LabelledSet(TrainingSet, Protocol):
    """Labelled images to measure on, in memory or not."""

    @property
    def labels(self) -> Tensor:
        """Class number of each image, int64, shape (N,); of drawn samples (N, *S)."""

    def batches(self, batch: int, *, positions: Tensor | None = None) -> Generator[Batch, None, None]:
        """Yield the images in batches of ``batch``; all in order, or those at ``positions`` (n,) in theirs.

        Unreadable photos are left out. Closing the generator, or letting go of it, ends what decodes.
        """

    def part(self, positions: Tensor) -> Self:
        """Return the set of the images at ``positions`` (n,), in that order."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images of one size.

    Attributes:
        images: pixel values 0..255, uint8, shape (N, C, H, W) with N at least 1.
        labels: class number of each image, int64, shape (N,), values 0..len(classes)-1.
        classes: the name of each class.

    Raises:
        DataError: a type, shape, length or label is not as above.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        check_images(self.images)
        check_labels(self.labels, len(self.images), self.classes)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def select(self, index: slice | Tensor) -> ImageSet:
        """Return the images of a slice, or of positions (n,), in that order."""
        return ImageSet(self.images[index], self.labels[index], self.classes)

    def part(self, positions: Tensor) -> ImageSet:
        """See :class:`LabelledSet`."""
        return self.select(positions)

    def batches(self, batch: int, *, positions: Tensor | None = None) -> Generator[Batch, None, None]:
        """See :class:`LabelledSet`."""
        chosen = torch.arange(len(self)) if positions is None else positions
        for start in range(0, len(chosen), batch):
            index = chosen[start : start + batch]
            some = self.select(index.to(self.images.device))
            yield Batch(some.images, some.labels, index)

    def decoded_with(self, decoding: Decoding) -> ImageSet:
        """Return the set as it is: its images are decoded."""
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    def checksum(self) -> int:
        """Return a number that two sets with the same labels and first images, in the same order, share."""
        first = zlib.crc32(self.images[:64].cpu().numpy().tobytes())
        return zlib.crc32(self.labels.cpu().numpy().tobytes(), first)


@dataclass(frozen=True, eq=False)
class Splits:
    """A data set in its two parts, which agree in classes and in the channels and size of their images.

    Attributes:
        name: what the set is called in logs and reports.
        train: the images to learn from.
        test: the images to measure on.
        summary: which photos there are and what was left out, in one line, where the data are the user's own.

    Raises:
        DataError: the two parts do not agree.
    """

    name: str
    train: TrainingSet
    test: LabelledSet
    summary: str = ""

    def __post_init__(self) -> None:
        train, test = self.train, self.test
        if train.shape != test.shape:
            raise DataError(
                f"{self.name}: test images must be of shape {train.shape} as in training, got {test.shape}; bring both "
                "parts to one shape"
            )
        if train.classes != test.classes:
            raise DataError(
                f"{self.name}: {_difference(train.classes, test.classes)}; give both parts the same classes in the "
                "same order"
            )


def statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and the (population) standard deviation of each channel, on the scale 0..1.

    Args:
        images: pixel values 0..255, uint8, shape (N, C, H, W).

    Returns:
        Two tuples of C floats, of the pixel values divided by 255, computed in double precision.

    Raises:
        DataError: ``images`` is of another type or shape, or empty.
    """
    check_images(images)
    levels = torch.arange(256, dtype=torch.float64) / 255
    means, deviations = [], []
    for channel in images.unbind(1):
        # 256 counts hold all there is to know about the values: no float copy of the images is needed.
        weights = torch.bincount(channel.flatten(), minlength=256).to("cpu", torch.float64) / channel.numel()
        mean = (weights * levels).sum()
        means.append(float(mean))
        deviations.append(float((weights * (levels - mean).square()).sum().sqrt()))
    return tuple(means), tuple(deviations)


def check_images(images: Tensor) -> None:
    """Raise :class:`~tide.errors.DataError` unless ``images`` is uint8 of shape (N, C, H, W) and not empty."""
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise DataError(f"images must be uint8 of shape (N, C, H, W), got {_describe(images)}; convert or reshape them")
    if images.numel() == 0:
        raise DataError(
            f"images must be at least one of at least one pixel, got shape {tuple(images.shape)}; give more data"
        )


def check_labels(labels: Tensor, count: int, classes: tuple[str, ...]) -> None:
    """Raise :class:`~tide.errors.DataError` unless ``labels`` numbers the class of each of ``count`` images."""
    if labels.dtype != torch.int64 or labels.shape != (count,):
        raise DataError(f"labels must be int64 of shape ({count},), got {_describe(labels)}; give each image one label")
    low, high = (int(value) for value in labels.aminmax())
    if low < 0 or high >= len(classes):
        raise DataError(
            f"label must be 0..{len(classes) - 1} for {len(classes)} classes, got {low if low < 0 else high}; number "
            "the classes from 0 and name every one of them"
        )


def check_at_least(*arguments: tuple[str, int, int]) -> None:
    """Raise :class:`~tide.errors.DataError` unless each value, in (name, value, bound), is at least its bound."""
    for name, value, bound in arguments:
        if value < bound:
            raise DataError(f"{name} must be at least {bound}, got {value}")


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"


def _difference(train: tuple[str, ...], test: tuple[str, ...]) -> str:
    if len(train) != len(test):
        return f"there must be {len(train)} test classes as in training, got {len(test)}"
    place = next(i for i, (left, right) in enumerate(zip(train, test, strict=True)) if left != right)
    return f"test class {place} must be {train[place]!r} as in training, got {test[place]!r}"

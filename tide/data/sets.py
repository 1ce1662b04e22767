"""What a data set offers, labelled images in memory, their checks and their per-channel statistics."""

from __future__ import annotations

import zlib
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import torch
from torch import Tensor

from tide.errors import DataError

if TYPE_CHECKING:
    from tide.data.photos.reading import Decoding


class Batch(NamedTuple):
    """Images (B, C, H, W) as uint8, or other inputs; their labels (B, *S) and positions in the set (B,), both int64."""

    images: Any
    labels: Tensor
    positions: Tensor


class TrainingSet(Protocol):
    """Labelled images to learn from, in memory or not: the feeds of :mod:`tide.train.feed` take them in order."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The name of each class."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width of an image; the shape of another input."""
        ...

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def select(self, index: slice | Tensor) -> Any:
        """Return the images of a slice, or at positions (n,), in memory: an :class:`ImageSet`; drawn, a batch."""
        ...

    def checksum(self) -> int:
        """Return a number that two sets of the same images, in the same order, share."""
        ...

    def decoded_with(self, decoding: Decoding) -> Self:
        """Return the same images; photos that are not in memory are decoded in this way."""
        ...


class LabelledSet(TrainingSet, Protocol):
    """Labelled images to measure on, in memory or not."""

    @property
    def labels(self) -> Tensor:
        """Class number of each image, int64, shape (N,)."""
        ...

    def batches(self, batch: int, *, positions: Tensor | None = None) -> Generator[Batch, None, None]:
        """Yield the images in batches of ``batch``; all in order, or those at ``positions`` (n,) in theirs.

        Unreadable photos are left out. Closing the generator, or letting go of it, ends what decodes.
        """
        ...

    def part(self, positions: Tensor) -> Self:
        """Return the set of the images at ``positions`` (n,), in that order."""
        ...


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
        train: the images to learn from; a stream of photos where they are not at hand.
        test: the images to measure on.
        found: what was found and what left out, in one line, where the data are the user's own.

    Raises:
        DataError: the two parts do not agree.
    """

    name: str
    train: TrainingSet
    test: LabelledSet
    found: str = ""

    def __post_init__(self) -> None:
        check_same_shape(self.name, self.train.shape, self.test.shape)
        check_agreement(self.name, self.train.classes, self.test.classes)


def check_images(images: Tensor) -> None:
    """Raise :class:`~tide.errors.DataError` unless ``images`` is uint8 of shape (N, C, H, W) and not empty."""
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise DataError(
            f"images are {_describe(images)}, uint8 of shape (N, C, H, W) is wanted: convert or reshape them"
        )
    if images.numel() == 0:
        raise DataError(
            f"images are of shape {tuple(images.shape)}, at least one image and pixel is wanted: give more data"
        )


def check_labels(labels: Tensor, count: int, classes: tuple[str, ...]) -> None:
    """Raise :class:`~tide.errors.DataError` unless ``labels`` numbers the class of each of ``count`` images."""
    if labels.dtype != torch.int64 or labels.shape != (count,):
        raise DataError(
            f"labels are {_describe(labels)}, int64 of shape ({count},) is wanted: give each image one label"
        )
    low, high = (int(value) for value in labels.aminmax())
    last = len(classes) - 1
    if low < 0 or high > last:
        raise DataError(
            f"label is {low if low < 0 else high}, 0..{last} is wanted for {last + 1} classes: "
            "number the classes from 0 and name every one of them"
        )


def check_same_shape(name: str, train: tuple[int, ...], test: tuple[int, ...]) -> None:
    """Raise :class:`~tide.errors.DataError` unless the images of both parts of a data set have the same shape."""
    if train != test:
        raise DataError(
            f"{name}: test images are of shape {test}, {train} is wanted as in training: bring both parts to one shape"
        )


def check_agreement(name: str, train: tuple[str, ...], test: tuple[str, ...]) -> None:
    """Raise :class:`~tide.errors.DataError` unless both parts of the data set ``name`` have the same classes."""
    if train != test:
        raise DataError(f"{name}: {_difference(train, test)}: give both parts the same classes in the same order")


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


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"


def _difference(wanted: tuple[str, ...], met: tuple[str, ...]) -> str:
    if len(wanted) != len(met):
        return f"there are {len(met)} test classes, {len(wanted)} are wanted as in training"
    place = next(i for i, (left, right) in enumerate(zip(wanted, met, strict=True)) if left != right)
    return f"test class {place} is {met[place]!r}, {wanted[place]!r} is wanted as in training"

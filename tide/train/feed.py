"""The micro-batches of a run: which images, in which order, cropped how; all derived from the seed and the step."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from tide.config import Config
from tide.data import Batch, DrawnSamples, ImageSet, PhotoSet, TrainingSet, augment, batch_indices, derive_seed
from tide.errors import DataError
from tide.models.inputs import Inputs, moved

DATA_STREAM, AUGMENT_STREAM, DROPOUT_STREAM = range(3)  # independent random streams derived from the one seed


class Feed(Protocol):
    """Where the training loop gets its images."""

    def order(self, step: int, micro: int) -> Tensor:
        """Return which training images make up a micro-batch, of this process or another, int64 (B,), on the CPU."""
        ...

    def take(self, step: int, micro: int) -> tuple[Inputs, Tensor]:
        """Return micro-batch ``micro`` of a step: inputs, pixels as uint8, and labels (B, *S), on the run's device."""
        ...

    def close(self) -> None:
        """End what works ahead; taking again begins anew."""
        ...


def sample_order(config: Config, count: int, step: int, micro: int) -> Tensor:
    """Return which of ``count`` images make up a micro-batch, int64 (B,), on the CPU."""
    train = config.train
    return batch_indices(count, train.batch, step * train.accumulation + micro, derive_seed(config.seed, DATA_STREAM))


def crop_seed(config: Config, step: int, micro: int) -> int:
    """Return the seed of a micro-batch's crops and flips."""
    return derive_seed(config.seed, AUGMENT_STREAM, step, micro)


class MemoryFeed:
    """Images decoded once, kept as uint8 on the device, and augmented there in batches."""

    def __init__(self, train: ImageSet, config: Config, device: torch.device) -> None:
        self.train = ImageSet(train.images.to(device), train.labels.to(device), train.classes)
        self.config, self.pad, self.flip = config, config.data.crop_padding, config.data.flip

    def order(self, step: int, micro: int) -> Tensor:
        """See :class:`Feed`."""
        return sample_order(self.config, len(self.train), step, micro)

    def take(self, step: int, micro: int) -> tuple[Tensor, Tensor]:
        """See :class:`Feed`."""
        index = self.order(step, micro).to(self.train.labels.device)
        # On the CPU, so that the same seed crops alike on every device.
        generator = torch.Generator().manual_seed(crop_seed(self.config, step, micro))
        images = augment(self.train.images[index], pad=self.pad, flip=self.flip, generator=generator)
        return images, self.train.labels[index]

    def close(self) -> None:
        """See :class:`Feed`."""


class PhotoFeed:
    """Random crops of photos, decoded by worker processes ahead of their use."""

    def __init__(
        self,
        train: PhotoSet,
        config: Config,
        device: torch.device,
        mine: Sequence[int],
    ) -> None:
        """``mine`` are the micro-batches of each step that this process takes, ascending."""
        self.train, self.config, self.device, self.mine = train, config, device, mine
        self.flip = config.data.flip
        self._stream: Generator[Batch, None, None] | None = None
        self._next: tuple[int, int] | None = None

    def order(self, step: int, micro: int) -> Tensor:
        """See :class:`Feed`."""
        return sample_order(self.config, len(self.train), step, micro)

    def take(self, step: int, micro: int) -> tuple[Tensor, Tensor]:
        """See :class:`Feed`. Micro-batches that are taken in another order than that of training begin a new stream."""
        if self._stream is None or self._next != (step, micro):
            self.close()
            self._stream = self.train.crops(self._requests(step, micro), flip=self.flip)
        batch = next(self._stream)
        place = self.mine.index(micro) + 1
        self._next = (step, self.mine[place]) if place < len(self.mine) else (step + 1, self.mine[0])
        return batch.images.to(self.device), batch.labels.to(self.device)

    def _requests(self, step: int, micro: int) -> Iterator[tuple[Tensor, int]]:
        for number in range(step, self.config.train.steps):
            for part in self.mine:
                if number > step or part >= micro:
                    yield self.order(number, part), crop_seed(self.config, number, part)

    def close(self) -> None:
        """End the worker processes."""
        if self._stream is not None:
            self._stream.close()
        self._stream = None


class DrawnFeed:
    """Samples that a program draws: those of a micro-batch follow from the seed and its number."""

    def __init__(self, train: DrawnSamples, config: Config, device: torch.device) -> None:
        self.train, self.config, self.device = train, config, device

    def order(self, step: int, micro: int) -> Tensor:
        """See :class:`Feed`: the samples are numbered in the order in which they are drawn."""
        train = self.config.train
        return torch.arange(train.batch) + (step * train.accumulation + micro) * train.batch

    def take(self, step: int, micro: int) -> tuple[Inputs, Tensor]:
        """See :class:`Feed`."""
        batch = self.train.drawn(self.config.train.batch, derive_seed(self.config.seed, DATA_STREAM, step, micro))
        return moved(batch.images, self.device), batch.labels.to(self.device)

    def close(self) -> None:
        """See :class:`Feed`."""


def make_feed(train: TrainingSet, config: Config, device: torch.device, mine: Sequence[int]) -> Feed:
    """Return the feed for a training set; ``mine`` are the micro-batches of each step that this process takes."""
    if isinstance(train, DrawnSamples):
        return DrawnFeed(train, config, device)
    if isinstance(train, ImageSet):
        return MemoryFeed(train, config, device)
    if isinstance(train, PhotoSet):
        return PhotoFeed(train, config, device, mine)
    raise DataError(
        f"training data must be an ImageSet, a PhotoSet or DrawnSamples, got a {type(train).__name__} of data of kind "
        f"{config.data.kind}"
    )

"""What goes in: the images of a model, and the data set of an experiment."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from tide.config.checks import not_negative, one_of
from tide.errors import check

Photos = Literal["in_memory", "streamed"]


@dataclass(frozen=True, kw_only=True)
class InputConfig:
    """The images that the model takes: their shape and how their pixels are normalised."""

    channels: int = 1
    """Colour channels: 1 (grey) or 3 (RGB)."""
    size: int = 28
    """Height and width in pixels at which images are read; the model itself takes any size of 8 or more."""
    crop: float = 1.0
    """Share of a photo's shorter side that the square in its middle has, which is scaled to that size: in every
    evaluation and prediction, in memory and streamed. ImageNet's usual 224 of 256 pixels are 0.875."""
    classes: int = 10
    """Number of classes C."""
    mean: tuple[float, ...] = (0.1307,)
    """Mean of each channel over the training images, pixels in [0, 1]."""
    std: tuple[float, ...] = (0.3081,)
    """Standard deviation of each channel over the training images, pixels in [0, 1]."""
    labels: tuple[str, ...] = ()
    """Names of the classes; empty: they are called by number."""

    def __post_init__(self) -> None:
        check(self.channels in (1, 3), f"input.channels is {self.channels}, 1 (grey) or 3 (RGB) is wanted")
        check(self.size >= 8, f"input.size is {self.size}, 8 pixels or more are wanted: enlarge the images")
        check(0 < self.crop <= 1, f"input.crop is {self.crop}, above 0 and at most 1 is wanted: 1 keeps it all")
        check(self.classes >= 2, f"input.classes is {self.classes}, 2 or more are wanted")
        for name, values in (("mean", self.mean), ("std", self.std)):
            check(
                len(values) == self.channels,
                f"input.{name} has {len(values)} values, {self.channels} (one per channel) are wanted",
            )
            check(all(map(math.isfinite, values)), f"input.{name} is {values}, finite numbers are wanted")
        check(all(s > 0 for s in self.std), f"input.std is {self.std}, positive numbers are wanted")
        check(
            len(self.labels) in (0, self.classes),
            f"input.labels has {len(self.labels)} names, {self.classes} (one per class) or none are wanted",
        )

    def label(self, index: int) -> str:
        """Return the name of a class."""
        return self.labels[index] if self.labels else str(index)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The training images and their augmentation."""

    name: str = "mnist"
    """digits, mnist, fashion-mnist, cifar10, cifar100, folder:DIR (photos), hub:DIR (photos in Parquet files) or
    hub:OWNER/NAME[@REVISION] (the same on the Hugging Face hub)."""
    crop_padding: int = 0
    """Random crop after padding by this many pixels; of images in memory."""
    flip: bool = False
    """Random horizontal flip."""
    photos: Photos = "in_memory"
    """Photos `in_memory` are decoded once, to the square in their middle; `streamed` ones whenever they are used, in
    training to a random part of 8 to 100 % of their area: for data that do not fit into memory."""
    shuffle_buffer: int = 0
    """Photos of hub: that are shuffled together, for each micro-batch of a step: they are read from their files, or
    from the hub, while the run trains. 0: all are brought here first and shuffled together."""
    validation: float = 0.0
    """Training images held out to choose by, the same share of each class: a number, or a share below 1. Evaluations
    of the run and its best checkpoint are then on these, and the test split is never looked at; 0: on the test
    split, as in the paper."""
    unreadable_limit: int = 100
    """Photos that may be unreadable; more end the run. So does a micro-batch of a stream without a readable photo."""

    @property
    def measured_on(self) -> str:
        """What the evaluations of a run are on, in a word."""
        return "validation" if self.validation else "test"

    def __post_init__(self) -> None:
        not_negative(
            "data",
            crop_padding=self.crop_padding,
            shuffle_buffer=self.shuffle_buffer,
            validation=self.validation,
            unreadable_limit=self.unreadable_limit,
        )
        check(
            self.validation < 1 or self.validation == int(self.validation),
            f"data.validation is {self.validation}, a whole number of images or a share below 1 is wanted",
        )
        one_of("data", "photos", self.photos, ("in_memory", "streamed"))
        streamed = self.photos == "streamed"
        check(
            not streamed or self.name.startswith(("folder:", "hub:")),
            f"data.photos is streamed for {self.name}, in_memory is wanted: only folder:DIR and hub:DIR are photos",
        )
        check(
            streamed or not self.name.startswith("hub:"),
            f"data.photos is in_memory for {self.name}, streamed is wanted: --data.photos streamed",
        )
        check(
            self.shuffle_buffer == 0 or self.name.startswith("hub:"),
            f"data.shuffle_buffer is {self.shuffle_buffer} for {self.name}, 0 is wanted: only hub: reads row groups",
        )
        check(
            not streamed or self.crop_padding == 0,
            f"data.crop_padding is {self.crop_padding}, 0 is wanted: streamed photos are cropped in another way",
        )

"""What goes in: the images of a model, and the data set of an experiment."""

from __future__ import annotations

from dataclasses import dataclass

from tide.config.checks import not_negative
from tide.errors import check


@dataclass(frozen=True, kw_only=True)
class InputConfig:
    """The images that the model takes: their shape and how their pixels are normalised."""

    channels: int = 1
    """Colour channels: 1 (grey) or 3 (RGB)."""
    size: int = 28
    """Height and width in pixels at which images are read; the model itself takes any size of 8 or more."""
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
        check(self.classes >= 2, f"input.classes is {self.classes}, 2 or more are wanted")
        for name, values in (("mean", self.mean), ("std", self.std)):
            check(
                len(values) == self.channels,
                f"input.{name} has {len(values)} values, {self.channels} (one per channel) are wanted",
            )
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
    """digits, mnist, fashion-mnist, cifar10, cifar100, or folder:DIR."""
    crop_padding: int = 0
    """Random crop after padding by this many pixels."""
    flip: bool = False
    """Random horizontal flip."""

    def __post_init__(self) -> None:
        not_negative("data", crop_padding=self.crop_padding)

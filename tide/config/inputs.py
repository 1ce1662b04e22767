"""What goes in: images, sequences or a schedule of them; and what comes out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from tide.config.checks import at_most, not_negative, one_of, positive
from tide.errors import check

LONGEST = 4096  # symbols of a sequence
MOST_SHOWN = 50  # digits or operations: the indices of a question have so many embeddings in the reference


@dataclass(frozen=True, kw_only=True)
class ImageConfig:
    """The images that the model takes: their shape and how their pixels are normalised."""

    kind: Literal["image"] = "image"
    """What the model takes: image, sequence or schedule."""
    channels: int = 1
    """Colour channels: 1 (grey) or 3 (RGB)."""
    size: int = 28
    """Height and width in pixels at which images are read; the model itself takes any size of 8 or more."""
    crop: float = 1.0
    """Share of a photo's shorter side that the square in its middle has, which is scaled to that size: in every
    evaluation and prediction, in memory and streamed. ImageNet's usual 224 of 256 pixels are 0.875."""
    mean: tuple[float, ...] = (0.1307,)
    """Mean of each channel over the training images, pixels in [0, 1]."""
    std: tuple[float, ...] = (0.3081,)
    """Standard deviation of each channel over the training images, pixels in [0, 1]."""

    def __post_init__(self) -> None:
        one_of("input", "kind", self.kind, ("image",))
        check(self.channels in (1, 3), f"input.channels is {self.channels}, 1 (grey) or 3 (RGB) is wanted")
        check(self.size >= 8, f"input.size is {self.size}, 8 pixels or more are wanted: enlarge the images")
        check(0 < self.crop <= 1, f"input.crop is {self.crop}, above 0 and at most 1 is wanted: 1 keeps it all")
        _check_pixels(self.mean, self.std, self.channels)


@dataclass(frozen=True, kw_only=True)
class SequenceConfig:
    """A sequence of symbols, or of numbers, (B, length), all there from the first tick on."""

    kind: Literal["sequence"] = "sequence"
    """What the model takes: image, sequence or schedule."""
    length: int = 64
    """Symbols or numbers in a sequence."""
    alphabet: tuple[float, ...] = ()
    """The numbers that the symbols are written as, (-1, 1) for bits; empty: any numbers, taken as they are."""

    def __post_init__(self) -> None:
        one_of("input", "kind", self.kind, ("sequence",))
        positive("input", length=self.length)
        at_most("input", LONGEST, "every symbol is a token", length=self.length)
        check(
            len(set(self.alphabet)) == len(self.alphabet) != 1 and all(map(math.isfinite, self.alphabet)),
            f"input.alphabet is {self.alphabet}, two or more different finite numbers, or none, are wanted",
        )


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """Digits shown one after the other, then a question about them, then nothing while the model answers.

    A question is an index, then pairs of an operator and an index. ``core.ticks`` are the ticks of the answer.
    """

    kind: Literal["schedule"] = "schedule"
    """What the model takes: image, sequence or schedule."""
    channels: int = 1
    """Colour channels of a digit."""
    size: int = 32
    """Height and width of a digit in pixels."""
    mean: tuple[float, ...] = (0.1307,)
    """Mean of each channel over the training images, pixels in [0, 1]."""
    std: tuple[float, ...] = (0.3081,)
    """Standard deviation of each channel over the training images, pixels in [0, 1]."""
    digits: tuple[int, int] = (1, 4)
    """Fewest and most digits that are shown."""
    operations: tuple[int, int] = (1, 4)
    """Fewest and most operations of a question."""
    ticks_per_digit: int = 10
    """Ticks for which each digit is shown."""
    ticks_per_part: int = 10
    """Ticks for which each index and each operator of the question is shown."""

    def __post_init__(self) -> None:
        one_of("input", "kind", self.kind, ("schedule",))
        check(self.channels in (1, 3), f"input.channels is {self.channels}, 1 (grey) or 3 (RGB) is wanted")
        check(self.size >= 8, f"input.size is {self.size}, 8 pixels or more are wanted: enlarge the images")
        _check_pixels(self.mean, self.std, self.channels)
        positive("input", ticks_per_digit=self.ticks_per_digit, ticks_per_part=self.ticks_per_part)
        for name, (fewest, most) in (("digits", self.digits), ("operations", self.operations)):
            check(
                1 <= fewest <= most <= MOST_SHOWN,
                f"input.{name} are {fewest} to {most}, 1 to at most {MOST_SHOWN} are wanted, the fewest first",
            )


InputConfig = ImageConfig | SequenceConfig | ScheduleConfig


@dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """What the model answers: logits (B, C, *S, T) of C classes at S positions after each of T ticks."""

    classes: int = 10
    """Number of classes C."""
    positions: tuple[int, ...] = ()
    """Shape S of an answer of several positions, (64,) for 64 bits; empty: a single class."""
    emitted: int = 0
    """Symbols that are emitted one by one over the ticks, the last class being a blank, in place of an answer that is
    there after each tick (connectionist temporal classification); 0: none."""
    labels: tuple[str, ...] = ()
    """Names of the classes; empty: they are called by number."""

    @property
    def values(self) -> int:
        """Logits of one tick, C |S|."""
        return self.classes * math.prod(self.positions)

    def __post_init__(self) -> None:
        check(self.classes >= 2, f"output.classes is {self.classes}, 2 or more are wanted")
        check(
            all(size >= 1 for size in self.positions),
            f"output.positions are {self.positions}, 1 or more in each direction are wanted",
        )
        not_negative("output", emitted=self.emitted)
        check(
            self.emitted == 0 or not self.positions,
            f"output.positions are {self.positions}, none are wanted: output.emitted is {self.emitted}",
        )
        check(
            len(self.labels) in (0, self.classes),
            f"output.labels has {len(self.labels)} names, {self.classes} (one per class) or none are wanted",
        )

    def label(self, index: int) -> str:
        """Return the name of a class."""
        return self.labels[index] if self.labels else str(index)


def _check_pixels(mean: tuple[float, ...], std: tuple[float, ...], channels: int) -> None:
    for name, values in (("mean", mean), ("std", std)):
        check(
            len(values) == channels, f"input.{name} has {len(values)} values, {channels} (one per channel) are wanted"
        )
        check(all(map(math.isfinite, values)), f"input.{name} is {values}, finite numbers are wanted")
    check(all(s > 0 for s in std), f"input.std is {std}, positive numbers are wanted")

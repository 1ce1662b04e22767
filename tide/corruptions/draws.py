"""A stream of random numbers for every image, and from computed values back to pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


class Draws:
    """The random numbers of the images of a batch.

    Iterating gives a generator for one image after the other, ready to draw. It is one and the same object, put to
    the start of the next image's stream, since making a generator takes longer than corrupting a small image: so
    everything that an image needs is drawn before the next image has its turn. Iterating again, and so each call of
    :meth:`normal` and :meth:`uniform`, begins the same streams anew: a corruption calls one of them, once.

    The start of a stream is the BLAKE2b digest of (seed, index, name, severity), taken as the state and the increment
    of a PCG64 generator (O'Neill, 2014). An image's numbers depend on these four alone.

    Attributes:
        indices: the number of each image in its data set.
        seed: of the whole corrupted data set.
        name: of the corruption.
        severity: 1 to 5.
    """

    def __init__(self, indices: Sequence[int], *, seed: int, name: str, severity: int) -> None:
        self.indices = indices
        self.seed = seed
        self.name = name
        self.severity = severity

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.indices)

    def __iter__(self) -> Iterator[np.random.Generator]:
        """Give each image's generator in turn."""
        bits = np.random.PCG64(0)
        generator = np.random.Generator(bits)
        for index in self.indices:
            text = f"{self.seed},{index},{self.name},{self.severity}"
            digest = hashlib.blake2b(text.encode(), digest_size=32).digest()
            start, step = int.from_bytes(digest[:16], "big"), int.from_bytes(digest[16:], "big")
            bits.state = {
                "bit_generator": "PCG64",
                "state": {"state": start, "inc": step | 1},  # an even increment would shorten the period
                "has_uint32": 0,
                "uinteger": 0,
            }
            yield generator

    def normal(self, *shape: int) -> Floats:
        """Draw standard normal numbers of ``shape`` for each image: shape (B, \\*shape)."""
        numbers = np.empty((len(self), *shape), np.float32)
        for row, generator in zip(numbers, self, strict=True):
            generator.standard_normal(dtype=np.float32, out=row)
        return numbers

    def uniform(self, *shape: int) -> Floats:
        """Draw numbers of ``shape``, uniform in [0, 1), for each image: shape (B, \\*shape)."""
        numbers = np.empty((len(self), *shape), np.float32)
        for row, generator in zip(numbers, self, strict=True):
            generator.random(dtype=np.float32, out=row)
        return numbers


_ALLOWANCE = np.float32(1 / 512)  # more than the rounding errors of single precision, less than anyone sees


def to_bytes(values: Floats | Bytes) -> Bytes:
    """Return values on the scale 0..255 as pixels, cut off at both ends and rounded down; pixels as they are.

    Rounded down, not to the nearest, since the published sets were. The small allowance keeps 126.99998, which
    exact arithmetic would have made 127, from becoming 126.
    """
    if values.dtype == np.uint8:
        return values.astype(np.uint8, copy=False)
    levels = values + _ALLOWANCE
    np.clip(levels, 0, 255, out=levels)
    return levels.astype(np.uint8)

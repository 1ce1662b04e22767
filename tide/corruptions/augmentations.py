"""The changes under which the paper shows enlarged Tiny-ImageNet photos to a model (Appendix G.8, Figure A.12).

The paper names horizontal flip and rotation, and photometric changes besides; its strengths did not survive in the
text that this project worked from. Those here are chosen: modest ones, at which a person still sees the object at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from tide.corruptions.blur import smooth
from tide.corruptions.draws import Bytes, Draws, Floats, to_bytes
from tide.corruptions.noise import gaussian_noise, luma
from tide.data.sets import check_images
from tide.errors import DataError, did_you_mean

DEGREES: Final = 15.0  # farthest rotation
JITTER: Final = 0.4  # farthest change of brightness, contrast and saturation, as a share
DEVIATION: Final = 0.1  # of the noise, white being 1
BLUR: Final = 2 / 224  # standard deviation of the blur as a share of the shorter side
_NO_SEVERITY = 0  # apart from the corruptions' streams of random numbers, which have 1 to 5


def flip(images: Bytes, draws: Draws) -> Bytes:
    """Mirror left to right."""
    return images[..., ::-1]


def rotation(images: Bytes, draws: Draws) -> Floats:
    """Turn about the middle by an angle uniform within :data:`DEGREES` either way, bilinearly; outside is black."""
    angles = DEGREES * (2 * draws.uniform(1)[:, 0].astype(float) - 1)
    turned = [
        ndimage.rotate(image, angle, axes=(2, 1), reshape=False, order=1, mode="grid-constant")
        for image, angle in zip(images.astype(np.float32), angles, strict=True)
    ]
    return np.stack(turned)


def colour(images: Bytes, draws: Draws) -> Floats:
    """Scale brightness, then contrast about the mean grey, then saturation about each pixel's grey.

    Each factor is uniform within 1 ± :data:`JITTER`; after each step values are cut off at black and white. Saturation
    is nothing to grey images.
    """
    brightness, contrast, saturation = (1 + JITTER * (2 * draws.uniform(3) - 1)).T.reshape(3, -1, 1, 1, 1)
    levels = np.clip(images * brightness, 0, 255)
    mean = luma(levels).mean((1, 2, 3), keepdims=True)
    levels = np.clip(mean + contrast * (levels - mean), 0, 255)
    grey = luma(levels)
    coloured: Floats = np.clip(grey + saturation * (levels - grey), 0, 255)
    return coloured


def noise(images: Bytes, draws: Draws) -> Floats:
    """Add normal noise of standard deviation :data:`DEVIATION`."""
    return gaussian_noise(images, (DEVIATION,), draws)


def blur(images: Bytes, draws: Draws) -> Floats:
    """Blur with a Gaussian of :data:`BLUR` of the shorter side."""
    return smooth(images, BLUR * min(images.shape[2:]))


_FUNCTIONS: Final[dict[str, Callable[[Bytes, Draws], Bytes | Floats]]] = {
    "flip": flip,
    "rotation": rotation,
    "colour": colour,
    "noise": noise,
    "blur": blur,
}
AUGMENTATIONS: Final = tuple(_FUNCTIONS)


def perturb(images: Tensor, name: str, *, seed: int, indices: Sequence[int]) -> Tensor:
    """Change images as one of :data:`AUGMENTATIONS` says.

    An image's random numbers depend on ``seed``, its number in the data set and ``name`` alone, as those of
    :func:`tide.corruptions.corrupt` do: the bytes are the same whatever the size and order of the batches.

    Args:
        images: pixel values, uint8, shape (B, 1 or 3, H, W), on the CPU.
        name: one of :data:`AUGMENTATIONS`.
        seed: any integer.
        indices: number of each image in its data set, B of them.

    Returns:
        New images of the type and shape of ``images``.

    Raises:
        DataError: the name is unknown, or ``images`` is of another type or shape or of another number.
    """
    check_images(images)
    if name not in _FUNCTIONS:
        raise DataError(f"unknown augmentation {name!r}{did_you_mean(name, AUGMENTATIONS)}")
    if len(indices) != len(images):
        raise DataError(f"indices must be {len(images)}, one for each image, got {len(indices)}")
    draws = Draws(indices, seed=seed, name=name, severity=_NO_SEVERITY)
    return torch.from_numpy(np.ascontiguousarray(to_bytes(_FUNCTIONS[name](images.numpy(), draws))))

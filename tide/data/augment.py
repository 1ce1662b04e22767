"""Random crops and flips of whole batches, and the conversion of pixels to floats."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tide.data.sets import check_images
from tide.errors import DataError


def augment(images: Tensor, *, pad: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Crop each image at random out of its zero-padded self, then mirror it left to right with probability 1/2.

    Args:
        images: pixel values, uint8, shape (B, C, H, W), on any device.
        pad: zeros added on each side before cropping, in pixels; 0 leaves the place as it is.
        flip: whether to mirror.
        generator: source of the random numbers; one on the CPU gives the same crops whatever the device of the images.

    Returns:
        Images of the same type, shape and device; ``images`` itself if there is nothing to do.

    Raises:
        DataError: ``images`` is of another type or shape, or ``pad`` is negative.
    """
    check_images(images)
    if pad < 0:
        raise DataError(f"pad is {pad}, at least 0 is wanted: give the number of pixels to add on each side")
    if pad == 0 and not flip:
        return images
    top, left, mirrored = draw(len(images), pad=pad, flip=flip, generator=generator)
    return apply_crop_flip(images, top, left, mirrored, pad=pad)


def draw(count: int, *, pad: int, flip: bool, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw where to crop ``count`` padded images and which of the crops to mirror.

    Returns:
        Row and column of the crop's corner in the padded image, int64 in 0..2*pad, and whether to mirror, bool: each
        of shape (count,), on the generator's device.
    """
    device = generator.device
    top, left = torch.randint(2 * pad + 1, (2, count), generator=generator, device=device)
    if not flip:
        return top, left, torch.zeros(count, dtype=torch.bool, device=device)
    return top, left, torch.randint(2, (count,), generator=generator, device=device).bool()


def apply_crop_flip(images: Tensor, top: Tensor, left: Tensor, mirrored: Tensor, *, pad: int) -> Tensor:
    """Crop and mirror images as drawn by :func:`draw`.

    Args:
        images: shape (B, C, H, W).
        top: row of each crop's corner in the padded image, int64, shape (B,).
        left: column of each crop's corner in the padded image, int64, shape (B,).
        mirrored: whether to mirror each crop, bool, shape (B,).
        pad: zeros added on each side before cropping.

    Returns:
        The crops, of the type, shape and device of ``images``.
    """
    batch, channels, height, width = images.shape
    top, left, mirrored = (drawn.to(images.device) for drawn in (top, left, mirrored))
    padded = functional.pad(images, (pad, pad, pad, pad))
    rows = top[:, None] + torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device)
    columns = left[:, None] + torch.where(mirrored[:, None], columns.flip(0), columns)
    # One gather over flattened pixels, its index shared by the channels: no loop over images, no copy per channel.
    index = rows[:, :, None] * padded.shape[3] + columns[:, None, :]
    shared = index.view(batch, 1, -1).expand(-1, channels, -1)
    return padded.flatten(2).gather(2, shared).view(batch, channels, height, width)

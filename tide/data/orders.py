"""What the seed decides about a training set: the order of its images, their crops, and which are held out.

All are pure functions of the seed and the step, so that resuming needs no state.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import replace
from functools import lru_cache
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from tide.data.sets import LabelledSet, Splits, check_at_least, check_images
from tide.errors import DataError

HOLD_OUT_STREAM = 3  # of the one seed: the training's own streams are 0 to 2


def derive_seed(*integers: int) -> int:
    """Mix integers of any size and sign into one seed in 0..2**63-1.

    The result depends on every integer and on their order and number, and is the same on every machine and with
    every version of the library.
    """
    text = ",".join(str(int(integer)) for integer in integers)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def batch_indices(count: int, batch: int, step: int, seed: int) -> Tensor:
    """Return which samples make up one training batch.

    The batches are consecutive pieces of one endless stream: a permutation of all samples for each epoch, one after
    the other. Where ``count`` is no multiple of ``batch``, a batch takes the end of one epoch and the start of the
    next, so that every sample is used exactly once in each epoch.

    Args:
        count: number of samples, at least 1.
        batch: samples in a batch, at least 1; may exceed ``count``.
        step: number of the batch, from 0.
        seed: any integer; with the number of the epoch it determines the permutation of that epoch.

    Returns:
        Sample numbers 0..count-1, int64, shape (batch,), on the CPU.

    Raises:
        DataError: ``count``, ``batch`` or ``step`` is out of range.
    """
    check_at_least(("count", count, 1), ("batch", batch, 1), ("step", step, 0))
    pieces = []
    position, end = step * batch, (step + 1) * batch
    while position < end:
        epoch, offset = divmod(position, count)
        piece = _permutation(count, epoch, seed)[offset : offset + end - position]
        pieces.append(piece)
        position += len(piece)
    return torch.cat(pieces)


@lru_cache(maxsize=2)
def _permutation(count: int, epoch: int, seed: int) -> Tensor:
    # Drawing an epoch anew for each of its batches would cost more than the batches; two are kept for the crossing.
    return torch.randperm(count, generator=torch.Generator().manual_seed(derive_seed(seed, epoch)))


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
    check_at_least(("pad", pad, 0))
    if pad == 0 and not flip:
        return images
    top, left, mirrored = draw_crops(len(images), pad=pad, flip=flip, generator=generator)
    return apply_crop_flip(images, top, left, mirrored, pad=pad)


def draw_crops(count: int, *, pad: int, flip: bool, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw where to crop ``count`` padded images and which of the crops to mirror.

    Returns row and column of the crop's corner in the padded image, int64 in 0..2*pad, and whether to mirror, bool:
    each of shape (count,), on the generator's device.
    """
    device = generator.device
    top, left = torch.randint(2 * pad + 1, (2, count), generator=generator, device=device)
    if not flip:
        return top, left, torch.zeros(count, dtype=torch.bool, device=device)
    return top, left, torch.randint(2, (count,), generator=generator, device=device).bool()


def apply_crop_flip(images: Tensor, top: Tensor, left: Tensor, mirrored: Tensor, *, pad: int) -> Tensor:
    """Crop and mirror images (B, C, H, W), padded with ``pad`` zeros, as drawn by :func:`draw_crops`."""
    batch, channels, height, width = images.shape
    top, left, mirrored = (tensor.to(images.device) for tensor in (top, left, mirrored))
    padded = functional.pad(images, (pad, pad, pad, pad))
    rows = top[:, None] + torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device)
    columns = left[:, None] + torch.where(mirrored[:, None], columns.flip(0), columns)
    # One gather over flattened pixels, its index shared by the channels: no loop over images, no copy per channel.
    index = rows[:, :, None] * padded.shape[3] + columns[:, None, :]
    shared = index.view(batch, 1, -1).expand(-1, channels, -1)
    return padded.flatten(2).gather(2, shared).view(batch, channels, height, width)


def hold_out(splits: Splits, validation: float, seed: int) -> Splits:
    """Return the data set with a held-out part of its training images in the place of the test images.

    Each class gives the same share, to within one image, and ``validation`` images (or that share, rounded) in all.
    Of a small class at least one image is held out and one is kept; a class of one image is not held out, with a
    warning.

    Args:
        splits: a data set whose training images are at hand: a program that draws samples has none to hold out.
        validation: how many training images to hold out: a number of 1 or more, or a share below 1; 0 for none.
        seed: with the labels alone it determines which images.

    Raises:
        DataError: ``validation`` is not below the number of training images, or no class has two images.
    """
    if validation == 0:
        return splits
    train = cast(LabelledSet, splits.train)
    kept, held = held_out_positions(train.labels, len(train.classes), validation, seed)
    single = [train.classes[label] for label in (train.labels.bincount() == 1).nonzero().flatten().tolist()]
    if single:
        some = ", ".join(single[:3]) + (", ..." if len(single) > 3 else "")
        warnings.warn(
            f"{splits.name}: {len(single)} classes have one training image ({some}), of which none is held out",
            stacklevel=2,
        )
    return replace(splits, train=train.part(kept), test=train.part(held))


def held_out_positions(labels: Tensor, classes: int, validation: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return the positions, ascending, of the images to train on and of those held out, given labels (N,).

    Raises :class:`DataError` as :func:`hold_out` does.
    """
    total = len(labels)
    goal = round(validation * total) if validation < 1 else int(validation)
    if goal >= total:
        raise DataError(f"data.validation must be below the {total} training images, got {validation:g}")
    counts = torch.bincount(labels.cpu(), minlength=classes)
    shares = counts.double() * goal / total
    taken = shares.floor().long()
    # What rounding down left over goes to the classes that it cost most.
    taken[(shares - taken).argsort(descending=True, stable=True)[: goal - int(taken.sum())]] += 1
    taken = taken.clamp(min=1).minimum((counts - 1).clamp(min=0))
    if not bool(taken.any()):
        raise DataError(
            f"data.validation must leave images of a class on both sides, got {validation:g} of {total} images with no "
            "two of a class; add images, or hold out none with --data.validation 0"
        )
    shuffled = torch.randperm(total, generator=torch.Generator().manual_seed(derive_seed(seed, HOLD_OUT_STREAM)))
    by_class = labels.cpu()[shuffled]
    held = torch.cat([shuffled[by_class == label][: int(taken[label])] for label in range(classes)])
    mask = torch.zeros(total, dtype=torch.bool)
    mask[held] = True
    return (~mask).nonzero().flatten(), mask.nonzero().flatten()

"""A part of the training images that is held out to choose by, so that the test split is never chosen on."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from tide.data.orders import derive_seed
from tide.data.photos.photo_set import PhotoSet
from tide.data.sets import ImageSet, Splits
from tide.errors import DataError

HOLD_OUT_STREAM = 3  # of the one seed: the training's own streams are 0 to 2


def hold_out(splits: Splits, validation: float, seed: int) -> Splits:
    """Return the data set with a held-out part of its training images in the place of the test images.

    Args:
        splits: a data set; training photos that are streamed out of their files cannot be held out.
        validation: how many training images to hold out: a number of 1 or more, or a share below 1; 0 for none.
        seed: with the labels alone it determines which images; each class gives the same share.

    Raises:
        DataError: an image of each class would not be left on either side, or the training photos are a stream.
    """
    if validation == 0:
        return splits
    if not isinstance(splits.train, ImageSet | PhotoSet):
        raise DataError(
            f"data.validation is {validation:g} for photos that are read from their files while the run trains, 0 is "
            "wanted: bring them here first with --data.shuffle-buffer 0"
        )
    kept, held = held_out_positions(splits.train.labels, len(splits.train.classes), validation, seed)
    return replace(splits, train=splits.train.part(kept), test=splits.train.part(held))


def held_out_positions(labels: Tensor, classes: int, validation: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return the positions, ascending, of the images to train on and of those held out, given labels (N,).

    Every class gives the same share, to within one image, and ``validation`` images (or that share, rounded) in all.
    Raises :class:`DataError` where a class would have no image on one of the sides.
    """
    total = len(labels)
    wanted = round(validation * total) if validation < 1 else int(validation)
    counts = torch.bincount(labels.cpu(), minlength=classes)
    if wanted >= total:
        raise DataError(f"data.validation is {validation:g}, fewer than the {total} training images are wanted")
    shares = counts.double() * wanted / total
    taken = shares.floor().long()
    # What rounding down left over goes to the classes that it cost most.
    taken[(shares - taken).argsort(descending=True, stable=True)[: wanted - int(taken.sum())]] += 1
    present = counts > 0
    if bool(((taken == 0) | (taken == counts))[present].any()):
        raise DataError(
            f"data.validation is {validation:g} of {total} training images, of each class an image is wanted on both "
            "sides: hold out more, or none with --data.validation 0"
        )
    shuffled = torch.randperm(total, generator=torch.Generator().manual_seed(derive_seed(seed, HOLD_OUT_STREAM)))
    by_class = labels.cpu()[shuffled]
    held = torch.cat([shuffled[by_class == label][: int(taken[label])] for label in range(classes)])
    mask = torch.zeros(total, dtype=torch.bool)
    mask[held] = True
    return (~mask).nonzero().flatten(), mask.nonzero().flatten()

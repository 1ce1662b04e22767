"""The 1,797 handwritten digits that scikit-learn brings along: no download needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from tide.data.named.places import scikit_learn
from tide.data.orders import derive_seed
from tide.data.sets import ImageSet, Splits
from tide.errors import DataError

_SPLIT_SEED = 0
_TEST_SHARE = 0.2


def load_digits(classes: tuple[str, ...]) -> Splits:
    """Load the digits, split 80:20 in the same way every time, class by class.

    The values 0..16 are spread over 0..255 and the 8x8 pixels are enlarged to 16x16 by bilinear interpolation.

    Args:
        classes: the ten class names.

    Returns:
        1,438 training and 359 test images, uint8, shape (N, 1, 16, 16).

    Raises:
        DataError: scikit-learn is missing or brings other data.
    """
    values, targets = _read()
    if values.shape != (1797, 64):
        raise DataError(f"digits: data are of shape {values.shape}, (1797, 64) is wanted: install another scikit-learn")
    labels = torch.from_numpy(np.asarray(targets, dtype=np.int64))
    # Every step is exact in single precision (few binary digits), so the pixels are the same on every machine.
    pixels = torch.from_numpy(np.asarray(values, dtype=np.float32)).view(-1, 1, 8, 8) * (255 / 16)
    enlarged = functional.interpolate(pixels, size=16, mode="bilinear", align_corners=False)
    images = enlarged.round().to(torch.uint8)
    chosen = _test_mask(labels)
    return Splits(
        "digits",
        train=ImageSet(images[~chosen], labels[~chosen], classes),
        test=ImageSet(images[chosen], labels[chosen], classes),
    )


def _read() -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return values (1797, 64) and classes (1797,).

    From the file that scikit-learn installs: to import the library takes over a second, to read the file a hundredth.
    """
    package = scikit_learn()
    if package is None:
        raise DataError(
            "digits: scikit-learn is not installed, it brings the data and is wanted: run `pip install scikit-learn`"
        )
    file = package / "datasets" / "data" / "digits.csv.gz"
    if not file.is_file():  # another version may keep it elsewhere
        from sklearn.datasets import load_digits as read_digits

        values, targets = read_digits(return_X_y=True)
        return values, targets
    table = np.loadtxt(file, delimiter=",")
    return table[:, :-1], table[:, -1].astype(np.int64)


def _test_mask(labels: Tensor) -> Tensor:
    """Mark the same fifth of each class for testing, as a boolean tensor of the shape of ``labels``."""
    mask = torch.zeros_like(labels, dtype=torch.bool)
    for label in sorted(set(labels.tolist())):
        members = (labels == label).nonzero().flatten().tolist()
        # Sorting by a hash, unlike any library's generator, gives the same order with every version of everything.
        members.sort(key=lambda index: derive_seed(_SPLIT_SEED, index))
        mask[members[: round(_TEST_SHARE * len(members))]] = True
    return mask

"""Questions over digits (QAMNIST; Darlow et al., arXiv:2505.05522): which digit comes out?

Digits are shown one after the other. Then a question names one of them by its place, and again and again an operator
and another one; after each operation the value is taken modulo 10. A digit may be named more than once, so that the
fewer there are, the likelier is 0 (one digit, one operation: 60 %): chance is more than 10 %.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from tide.data.checks import check_at_least
from tide.data.sets import ImageSet
from tide.errors import DataError
from tide.models.inputs import MINUS, PLUS, Questions

BASE = 10


def draw_questions(
    images: ImageSet, count: int, digits: tuple[int, int], operations: tuple[int, int], generator: torch.Generator
) -> tuple[Questions, Tensor]:
    """Draw questions over images of digits, all with the same number of digits and of operations.

    Args:
        images: digits labelled 0 to 9.
        count: how many questions, at least 1.
        digits: fewest and most digits shown; how many is drawn once for all questions.
        operations: fewest and most operations, drawn likewise.
        generator: source of the random numbers, on the CPU.

    Returns:
        Digits as uint8 and questions as the model takes them, and the answers (count,), int64.

    Raises:
        DataError: a number is out of range, or the images have other than ten classes.
    """
    check_at_least(("count", count, 1))
    shown, asked = (
        between(name, *bounds, generator) for name, bounds in (("digits", digits), ("operations", operations))
    )
    if len(images.classes) != BASE:
        raise DataError(f"there are {len(images.classes)} classes, {BASE} are wanted: give images of the digits 0 to 9")
    chosen = torch.randint(len(images), (count, shown), generator=generator)
    parts = torch.empty(count, 1 + 2 * asked, dtype=torch.int64)
    parts[:, 0::2] = torch.randint(shown, (count, 1 + asked), generator=generator)
    parts[:, 1::2] = torch.where(torch.randint(2, (count, asked), generator=generator) == 0, PLUS, MINUS)
    answers = answer(images.labels.cpu()[chosen], parts)
    return Questions(images.images[chosen.to(images.images.device)], parts), answers


def answer(labels: Tensor, parts: Tensor) -> Tensor:
    """Return the answers (B,) to the questions ``parts`` (B, 1 + 2 k) over digits of the classes ``labels`` (B, n)."""
    # Modulo 10 after each operation or once at the end is the same.
    values = labels.gather(1, parts[:, 0::2])
    signs = torch.where(parts[:, 1::2] == PLUS, 1, -1)
    return (values[:, 0] + (signs * values[:, 1:]).sum(1)) % BASE


def between(name: str, fewest: int, most: int, generator: torch.Generator) -> int:
    """Draw a whole number from ``fewest`` to ``most``; raises :class:`DataError` unless 1 ≤ fewest ≤ most."""
    check_at_least((f"{name}[0]", fewest, 1), (f"{name}[1]", most, fewest))
    return int(torch.randint(fewest, most + 1, (1,), generator=generator))


def scaled(images: ImageSet, size: int) -> ImageSet:
    """Return square images at ``size`` x ``size`` pixels, scaled bilinearly with antialiasing."""
    if images.images.shape[2:] == (size, size):
        return images
    pixels = functional.interpolate(images.images, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return replace(images, images=pixels)

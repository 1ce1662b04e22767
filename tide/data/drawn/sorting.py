"""Sorting: in which order do these numbers rise? (Darlow et al., arXiv:2505.05522.)"""

from __future__ import annotations

import torch
from torch import Tensor

from tide.data.checks import check_at_least
from tide.errors import DataError


def draw_sorting(count: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw standard normal numbers.

    Of two that are equal (in single precision 30 numbers hold two such once in some 10,000 lists) the first counts as
    the smaller.

    Returns:
        The numbers, float32, and the places of the smallest, the next, and so on, int64: each of shape
        (count, length), on the generator's device.

    Raises:
        DataError: ``count`` is below 1 or ``length`` below 2.
    """
    check_at_least(("count", count, 1), ("length", length, 2))
    numbers = torch.randn((count, length), generator=generator, device=generator.device)
    return numbers, numbers.argsort(dim=1, stable=True)


def rising(numbers: Tensor) -> Tensor:
    """Return the places of the smallest number, the next, and so on: (B, N) int64 from (B, N).

    Raises :class:`DataError` where two numbers of a list are equal or one is NaN: there is no single answer.
    """
    order = numbers.argsort(1)
    values = numbers.gather(1, order)
    tied = ~(values[:, :-1] < values[:, 1:])
    if bool(tied.any()):
        row, place = tied.nonzero()[0].tolist()
        first, second = (int(order[row, place + step]) for step in range(2))
        raise DataError(
            f"list {row} holds {float(values[row, place]):g} at {min(first, second)} and "
            f"{float(values[row, place + 1]):g} at {max(first, second)}, different numbers are wanted: "
            "they have no single order"
        )
    return order

"""Parity: is the number of −1 up to each place even or odd? (Darlow et al., arXiv:2505.05522.)"""

from __future__ import annotations

import torch
from torch import Tensor

from tide.data.checks import check_at_least


def draw_parity(count: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw sequences of ±1, each with probability ½.

    Returns:
        The sequences, float32, and their :func:`parities`, int64: each of shape (count, length), on the generator's
        device.

    Raises:
        DataError: ``count`` or ``length`` is below 1.
    """
    check_at_least(("count", count, 1), ("length", length, 1))
    drawn = torch.randint(2, (count, length), generator=generator, device=generator.device)
    values = 2.0 * drawn - 1.0
    return values, parities(values)


def parities(values: Tensor) -> Tensor:
    """Return 1 where the number of −1 up to a place is odd, 0 where it is even: (B, L) int64 from (B, L) of ±1."""
    return (values < 0).cumsum(1) % 2

"""Where a token is: sinusoidal positions in one and two dimensions, and half a turn along a sequence."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def sinusoidal_positions(rows: int, columns: int, width: int) -> Tensor:
    """Return positions (width, rows, columns): half of the channels encode the row, half the column.

    Each half holds sines, then cosines, of the coordinate at wavelengths from 2π to 10000·2π (Vaswani et al., 2017).
    Each channel has mean zero over the grid: on a small grid most wavelengths are far longer than the image, and
    their constant part says nothing of the place but drowns what differs between images. ``width`` must be a multiple
    of 4.
    """
    quarter = width // 4
    frequency = torch.exp(torch.arange(quarter) * (-math.log(10_000.0) / quarter))

    def encode(length: int) -> Tensor:
        angle = torch.arange(length)[None] * frequency[:, None]
        return torch.cat((angle.sin(), angle.cos()))

    by_row = encode(rows)[:, :, None].expand(-1, -1, columns)
    by_column = encode(columns)[:, None, :].expand(-1, rows, -1)
    positions = torch.cat((by_row, by_column))
    return positions - positions.mean((1, 2), keepdim=True)


def sinusoidal_sequence(length: int, width: int) -> Tensor:
    """Return positions (length, width): sine and cosine in turns, at wavelengths from 2π to 10000·2π.

    As in Vaswani et al. (2017). ``width`` must be even.
    """
    frequency = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angle = torch.arange(length)[:, None] * frequency
    return torch.stack((angle.sin(), angle.cos()), 2).flatten(1)


class RotationalPositions(nn.Module):
    """Positions of a sequence as a learned map of a vector that makes half a turn along it.

    The reference CTM's ``custom-rotational-1d`` (arXiv:2505.05522): (0, 1) turned by 0° at the first place to 180° at
    the last, then ``projection``.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.projection = nn.Linear(2, width)

    def forward(self, length: int) -> Tensor:
        """Return positions (length, width)."""
        angle = torch.linspace(0, math.pi, length).to(self.projection.weight)
        positions: Tensor = self.projection(torch.stack((-angle.sin(), angle.cos()), 1))
        return positions

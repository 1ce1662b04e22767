"""Fixed 2-D sinusoidal positions."""

from __future__ import annotations

import math

import torch
from torch import Tensor


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

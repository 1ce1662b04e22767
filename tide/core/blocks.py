"""The four recurrent matrices of two populations."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class RecurrentBlocks(NamedTuple):
    """The four non-negative matrices W_EE, W_EI, W_IE, W_II; first letter = target population."""

    ee: Tensor
    ei: Tensor
    ie: Tensor
    ii: Tensor

    def effective(self) -> Tensor:
        """Return the signed W_eff = [[W_EE, −W_EI], [W_IE, −W_II]] (D, D); row = target neuron, column = source."""
        return torch.cat((torch.cat((self.ee, -self.ei), 1), torch.cat((self.ie, -self.ii), 1)), 0)

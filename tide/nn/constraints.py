"""Dale's principle and every other bound on a parameter; guarantees of stability (equations §3, §7)."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import NamedTuple

import torch
from torch import Tensor, nn

NON_NEGATIVE = (0.0, inf)


class Bounded(nn.Module):
    """A module some of whose parameters live in an interval."""

    def bounds(self) -> dict[str, tuple[float, float]]:
        """Return the interval of each bounded parameter by its attribute name."""
        raise NotImplementedError

    def restrain_(self) -> None:
        """Bring the parameters, in place, to where what several of them must satisfy together holds; most need not."""


def bounded_parameters(model: nn.Module) -> Iterator[tuple[str, Tensor, tuple[float, float]]]:
    """Yield (name, parameter, (lowest, highest)) for every bounded parameter of a model."""
    for prefix, module in model.named_modules():
        if isinstance(module, Bounded):
            for name, interval in module.bounds().items():
                yield f"{prefix}.{name}".lstrip("."), getattr(module, name), interval


@torch.no_grad()
def project_(model: nn.Module) -> None:
    """Project every bounded parameter onto its interval, in place; then what a guarantee asks for (``restrain_``).

    Clamping is the Euclidean projection onto the box: idempotent and non-expansive in Frobenius norm
    (paper, Proposition A.2).
    """
    members: dict[tuple[float, float], list[Tensor]] = {}
    for _, parameter, interval in bounded_parameters(model):
        members.setdefault(interval, []).append(parameter)
    for (lowest, highest), parameters in members.items():
        torch._foreach_clamp_min_(parameters, lowest)
        torch._foreach_clamp_max_(parameters, highest)
    for module in model.modules():
        if isinstance(module, Bounded):
            module.restrain_()


@torch.no_grad()
def violations(model: nn.Module) -> list[str]:
    """Return the names of the bounded parameters with an entry outside its interval (NaN counts as outside)."""
    return [
        name
        for name, parameter, (lowest, highest) in bounded_parameters(model)
        if not bool(((parameter >= lowest) & (parameter <= highest)).all())
    ]


class RecurrentBlocks(NamedTuple):
    """The four non-negative matrices W_EE, W_EI, W_IE, W_II; first letter = target population."""

    ee: Tensor
    ei: Tensor
    ie: Tensor
    ii: Tensor

    def effective(self) -> Tensor:
        """Return the signed W_eff = [[W_EE, −W_EI], [W_IE, −W_II]] (D, D); row = target neuron, column = source."""
        return torch.cat((torch.cat((self.ee, -self.ei), 1), torch.cat((self.ie, -self.ii), 1)), 0)

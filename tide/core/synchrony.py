"""Three-type synchronisation: the latent state is read from products of rates of fixed pairs (equations §2.7)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from tide.config import CoreConfig
from tide.core.constraints import Bounded


class SynchronyState(NamedTuple):
    """Decaying sums: S (B, P) of products and N (P,) of ones."""

    products: Tensor
    normalizer: Tensor


def draw_pairs(rows: int, columns: int, count: int, generator: torch.Generator, *, same: bool) -> Tensor:
    """Draw ``count`` distinct index pairs (2, count).

    With ``same`` both indices name the same population: pairs are unordered and never of a neuron with itself.
    """
    if same:
        every = torch.triu_indices(rows, columns, offset=1)
    else:
        every = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).t()
    chosen = torch.randperm(every.shape[1], generator=generator)[:count]
    return every[:, chosen]


class Synchronisation(Bounded):
    """E-E pairs (binding), E-I pairs (gating) and I-I pairs (rhythm), each with a learned decay and a read-out."""

    left: Tensor
    right: Tensor

    def __init__(self, config: CoreConfig, seed: int) -> None:
        super().__init__()
        self.clamp = config.synchrony.clamp
        n_e, n_i, sizes = config.n_e, config.n_i, config.synchrony
        generator = torch.Generator().manual_seed(seed)
        ee = draw_pairs(n_e, n_e, sizes.pairs_ee, generator, same=True)
        ei = draw_pairs(n_e, n_i, sizes.pairs_ei, generator, same=False) + torch.tensor([[0], [n_e]])
        ii = draw_pairs(n_i, n_i, sizes.pairs_ii, generator, same=True) + n_e
        pairs = torch.cat((ee, ei, ii), 1)
        self.register_buffer("left", pairs[0])
        self.register_buffer("right", pairs[1])
        self.sizes = (sizes.pairs_ee, sizes.pairs_ei, sizes.pairs_ii)
        self.decay = nn.Parameter(torch.zeros(sum(self.sizes)))
        self.streams = nn.ModuleList(nn.Linear(size, sizes.width) for size in self.sizes)
        self.norm = nn.LayerNorm(3 * sizes.width)

    def bounds(self) -> dict[str, tuple[float, float]]:
        """Decays δ lie in [0, 15], as in the reference CTM."""
        return {"decay": (0.0, 15.0)}

    def products(self, rates: Tensor) -> Tensor:
        """Return y_i y_j of every pair (B, P) from rates (B, D)."""
        return rates.index_select(1, self.left) * rates.index_select(1, self.right)

    def begin(self, rates: Tensor) -> SynchronyState:
        """Return S⁰ = y_i y_j and N⁰ = 1."""
        return SynchronyState(self.products(rates), torch.ones_like(self.decay))

    def retention(self) -> Tensor:
        """Return λ = exp(−δ) of every pair (P,)."""
        return torch.exp(-self.decay)

    def forward(self, state: SynchronyState, rates: Tensor, retention: Tensor) -> SynchronyState:
        """Advance by one tick: S ← λ S + y_i y_j, N ← λ N + 1."""
        products = torch.addcmul(self.products(rates), state.products, retention)
        if self.clamp is not None:
            products = products.clamp(-self.clamp, self.clamp)
        return SynchronyState(products, torch.addcmul(torch.ones_like(retention), state.normalizer, retention))

    def read(self, state: SynchronyState) -> tuple[Tensor, Tensor]:
        """Return s = S / √N (B, P) and the latent state z (B, 3 d_stream)."""
        synchrony = state.products * state.normalizer.rsqrt()
        parts = torch.split(synchrony, list(self.sizes), dim=1)
        streams = [stream(part) for stream, part in zip(self.streams, parts, strict=True)]
        return synchrony, self.norm(torch.cat(streams, 1))

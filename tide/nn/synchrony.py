"""Synchronisation: the latent state is read from decaying products of the rates of fixed pairs (equations §2.7)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tide.config import CoreConfig
from tide.nn.constraints import Bounded


class SynchronyState(NamedTuple):
    """Decaying sums: S (B, P) of products and N (P,) of ones."""

    products: Tensor
    normalizer: Tensor

    def detach(self) -> SynchronyState:
        """Cut the gradient to earlier ticks."""
        return SynchronyState(self.products.detach(), self.normalizer.detach())

    def rows(self, index: Tensor) -> SynchronyState:
        """Keep the samples named by ``index``."""
        return self._replace(products=self.products[index])


def draw_pairs(rows: int, columns: int, count: int, generator: torch.Generator, *, same: bool) -> Tensor:
    """Draw ``count`` distinct index pairs (2, count).

    With ``same`` both indices name the same population: pairs are unordered and never of a neuron with itself.
    """
    cpu = torch.device("cpu")  # whatever the default device is: the same seed draws the same pairs everywhere
    if same:
        every = torch.triu_indices(rows, columns, offset=1, device=cpu)
    else:
        every = torch.cartesian_prod(torch.arange(rows, device=cpu), torch.arange(columns, device=cpu)).t()
    chosen = torch.randperm(every.shape[1], generator=generator, device=cpu)[:count]
    return every[:, chosen]


class PairSynchrony(Bounded):
    """s_ij = S_ij / √N of fixed pairs (2, P), with S ← λ S + y_i y_j, N ← λ N + 1 and a learned decay per pair."""

    left: Tensor
    right: Tensor

    def __init__(self, pairs: Tensor, *, clamp: float | None = None) -> None:
        super().__init__()
        self.clamp = clamp
        self.register_buffer("left", pairs[0])
        self.register_buffer("right", pairs[1])
        self.decay = nn.Parameter(torch.zeros(pairs.shape[1]))

    def bounds(self) -> dict[str, tuple[float, float]]:
        """Decays δ lie in [0, 15], as in the reference CTM."""
        return {"decay": (0.0, 15.0)}

    def pairs(self) -> Tensor:
        """Return the pairs, (2, P)."""
        return torch.stack((self.left, self.right))

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

    @staticmethod
    def value(state: SynchronyState) -> Tensor:
        """Return s = S / √N, (B, P)."""
        return state.products * state.normalizer.rsqrt()


class Synchronisation(PairSynchrony):
    """E-E pairs (binding), E-I pairs (gating) and I-I pairs (rhythm), each with a read-out of its own.

    Without ``typed`` as many pairs are drawn among all neurons and read by one stream.
    """

    def __init__(self, config: CoreConfig, seed: int) -> None:
        sizes, generator = config.synchrony, torch.Generator().manual_seed(seed)
        counts = [sizes.pairs_ee, sizes.pairs_ei, sizes.pairs_ii]
        if sizes.typed:
            pairs = _typed_pairs(config, generator)
        else:
            counts = [sum(counts)]
            pairs = draw_pairs(config.neurons, config.neurons, counts[0], generator, same=True)
        super().__init__(pairs, clamp=sizes.clamp)
        self.sizes = counts
        width = 3 * sizes.width // len(self.sizes)
        self.streams = nn.ModuleList(nn.Linear(size, width) for size in self.sizes)
        self.norm = nn.LayerNorm(3 * sizes.width, eps=sizes.norm_epsilon)
        if sizes.time_scales is not None:
            shortest, longest = (math.log(scale) for scale in sizes.time_scales)
            scales = torch.rand(pairs.shape[1], generator=generator) * (longest - shortest) + shortest
            with torch.no_grad():
                self.decay.copy_(torch.exp(-scales))

    def read(self, state: SynchronyState) -> tuple[Tensor, Tensor]:
        """Return s (B, P) and the latent state z (B, 3 d_stream)."""
        synchrony = self.value(state)
        parts = torch.split(synchrony, self.sizes, dim=1)
        streams = [stream(part) for stream, part in zip(self.streams, parts, strict=True)]
        return synchrony, self.norm(torch.cat(streams, 1))


def _typed_pairs(config: CoreConfig, generator: torch.Generator) -> Tensor:
    n_e, n_i, sizes = config.n_e, config.n_i, config.synchrony
    ee = draw_pairs(n_e, n_e, sizes.pairs_ee, generator, same=True)
    ei = draw_pairs(n_e, n_i, sizes.pairs_ei, generator, same=False) + torch.tensor([[0], [n_e]], device="cpu")
    ii = draw_pairs(n_i, n_i, sizes.pairs_ii, generator, same=True) + n_e
    return torch.cat((ee, ei, ii), 1)

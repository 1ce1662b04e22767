"""Synchronisation: the latent state is read from decaying products of the rates of fixed pairs (equations §2.7)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tide.errors import ConfigError
from tide.nn.constraints import Bounded
from tide.nn.state import Batched
from tide.nn.weights import refresh


class SynchronyState(Batched):
    """Decaying sums: S (B, P) of products, and N of ones.

    N is (1, P) while all samples began at the same tick, (B, P) once one of them was restarted alone.
    """

    products: Tensor
    normalizer: Tensor


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

    def initial(self, rates: Tensor) -> SynchronyState:
        """Return S⁰ = y_i y_j and N⁰ = 1."""
        return SynchronyState(products=self.products(rates), normalizer=torch.ones_like(self.decay)[None])

    def retention(self) -> Tensor:
        """Return λ = exp(−δ) of every pair (P,)."""
        refresh(self)
        return torch.exp(-self.decay)

    def forward(self, state: SynchronyState, rates: Tensor, retention: Tensor | None = None) -> SynchronyState:
        """Advance by one tick: S ← λ S + y_i y_j, N ← λ N + 1, with λ = :meth:`retention`."""
        retention = self.retention() if retention is None else retention
        products = torch.addcmul(self.products(rates), state.products, retention)
        if self.clamp is not None:
            products = products.clamp(-self.clamp, self.clamp)
        normalizer = torch.addcmul(torch.ones_like(retention), state.normalizer, retention)
        return SynchronyState(products=products, normalizer=normalizer)

    @staticmethod
    def value(state: SynchronyState) -> Tensor:
        """Return s = S / √N, (B, P)."""
        return state.products * state.normalizer.rsqrt()


class WindowWeights(NamedTuple):
    """e^{−δ age} of every tick and pair (M, P), oldest first, and 1/√ of its sum over ticks (P,)."""

    decays: Tensor
    scale: Tensor


class WindowSynchrony(Bounded):
    """s_ij = Σ_m e^{−δ_ij (M−1−m)} y_i,m y_j,m / √(Σ_m e^{−δ_ij (M−1−m)}) of all pairs i ≤ j, over the last M ticks.

    As in the reference CTM's reinforcement learning (arXiv:2505.05522): nothing older than M ticks counts, and there is
    no recursion. ``rows`` J neurons are read, P = J (J + 1)/2 pairs.
    """

    left: Tensor
    right: Tensor

    def __init__(self, rows: int, length: int) -> None:
        super().__init__()
        self.length = length
        pairs = torch.triu_indices(rows, rows, device="cpu")
        self.register_buffer("left", pairs[0])
        self.register_buffer("right", pairs[1])
        self.decay = nn.Parameter(torch.zeros(pairs.shape[1]))

    def bounds(self) -> dict[str, tuple[float, float]]:
        """Decays δ lie in [0, 4], as in the reference."""
        return {"decay": (0.0, 4.0)}

    def compose(self) -> WindowWeights:
        """Compose what every tick uses."""
        refresh(self)
        ages = torch.arange(self.length - 1, -1, -1, device=self.decay.device, dtype=self.decay.dtype)
        decays = torch.exp(-ages[:, None] * self.decay)
        return WindowWeights(decays, decays.sum(0).rsqrt())

    def forward(self, window: Tensor, weights: WindowWeights | None = None) -> Tensor:
        """Return s (B, P) of activations (J, B, M), newest last."""
        weights = self.compose() if weights is None else weights
        products = window.index_select(0, self.left) * window.index_select(0, self.right)  # (P, B, M)
        return torch.einsum("pbm,mp->bp", products, weights.decays) * weights.scale


class Synchrony(PairSynchrony):
    """E-E pairs (binding), E-I pairs (gating) and I-I pairs (rhythm), each with a read-out of its own.

    ::

        synchrony = Synchrony(80, 20, pairs_ee=64, pairs_ei=32, pairs_ii=16, width=32)
        state = synchrony.initial(rates)
        state = synchrony(state, rates)             # after each tick, rates (B, 100)
        s, latent = synchrony.read(state)           # (B, 112), (B, 96)

    Args:
        n_e, n_i: excitatory and inhibitory neurons; rates hold the excitatory ones first.
        pairs_ee, pairs_ei, pairs_ii: pairs of each type.
        width: width of each type's stream; the latent state is three times as wide.
        typed: if not, as many pairs are drawn among all neurons and read by one stream of that whole width.
        clamp: bound on the magnitude of S; none by default.
        norm_epsilon: added to the variance in the LayerNorm of the latent state.
        time_scales: shortest and longest 1/δ in ticks over which the decays start, log-uniform; None: δ = 0.
        seed: draws the pairs and the time scales.

    Raises:
        ConfigError: more pairs of a type than there are.
    """

    def __init__(
        self,
        n_e: int,
        n_i: int,
        *,
        pairs_ee: int = 256,
        pairs_ei: int = 128,
        pairs_ii: int = 64,
        width: int = 128,
        typed: bool = True,
        clamp: float | None = None,
        norm_epsilon: float = 1e-5,
        time_scales: tuple[float, float] | None = None,
        seed: int = 42,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        counts = [pairs_ee, pairs_ei, pairs_ii]
        available = [n_e * (n_e - 1) // 2, n_e * n_i, n_i * (n_i - 1) // 2]
        for name, count, limit in zip(("pairs_ee", "pairs_ei", "pairs_ii"), counts, available, strict=True):
            if count > limit:
                raise ConfigError(f"{name} must be at most {limit} with {n_e} E and {n_i} I neurons, got {count}")
        if typed:
            pairs = _typed_pairs(n_e, n_i, counts, generator)
        else:
            counts = [sum(counts)]
            pairs = draw_pairs(n_e + n_i, n_e + n_i, counts[0], generator, same=True)
        super().__init__(pairs, clamp=clamp)
        self.sizes = counts
        self.streams = nn.ModuleList(nn.Linear(size, 3 * width // len(counts)) for size in counts)
        self.norm = nn.LayerNorm(3 * width, eps=norm_epsilon)
        if time_scales is not None:
            shortest, longest = (math.log(scale) for scale in time_scales)
            scales = torch.rand(pairs.shape[1], generator=generator) * (longest - shortest) + shortest
            with torch.no_grad():
                self.decay.copy_(torch.exp(-scales))

    def read(self, state: SynchronyState) -> tuple[Tensor, Tensor]:
        """Return s (B, P) and the latent state z (B, 3 d_stream)."""
        synchrony = self.value(state)
        parts = torch.split(synchrony, self.sizes, dim=1)
        streams = [stream(part) for stream, part in zip(self.streams, parts, strict=True)]
        return synchrony, self.norm(torch.cat(streams, 1))


def _typed_pairs(n_e: int, n_i: int, counts: list[int], generator: torch.Generator) -> Tensor:
    ee = draw_pairs(n_e, n_e, counts[0], generator, same=True)
    ei = draw_pairs(n_e, n_i, counts[1], generator, same=False) + torch.tensor([[0], [n_e]], device="cpu")
    ii = draw_pairs(n_i, n_i, counts[2], generator, same=True) + n_e
    return torch.cat((ee, ei, ii), 1)

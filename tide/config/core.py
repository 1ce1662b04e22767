"""The recurrent core of TIDE, one section per component (equations §2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tide.config.checks import core_size, not_negative, one_of, positive
from tide.errors import check

Activation = Literal["relu", "softplus"]
RateNorm = Literal["rms", "rms_cap", "rms_shared", "none"]
RatioNormalization = Literal["sum", "per_neuron"]
Guarantee = Literal["none", "contraction", "lds"]
MemoryScope = Literal["sample", "batch"]


@dataclass(frozen=True, kw_only=True)
class AttentionConfig:
    """Cross-attention of the latent state to the tokens (equations §2.1)."""

    width: int = 128
    """Width of queries, keys, values and output, d_attn."""
    heads: int = 8
    """Number of heads; 0: no attention, the input is a drive of the neurons as it is."""
    residual: bool = False
    """Add a linear map of the latent state inside the LayerNorm (ImageNet)."""

    def __post_init__(self) -> None:
        positive("core.attention", width=self.width)
        not_negative("core.attention", heads=self.heads)
        check(
            self.heads == 0 or self.width % self.heads == 0,
            f"core.attention.heads is {self.heads}, a divisor of core.attention.width = {self.width} is wanted",
        )


@dataclass(frozen=True, kw_only=True)
class LateralConfig:
    """Lateral inhibition, winner-take-all inside E (equations §2.4)."""

    iterations: int = 5
    """Fixed-point iterations K; 0 leaves lateral inhibition out."""
    strength: float = 0.5
    """Start of the learned strength γ."""
    tolerance: float = 1e-4
    """At inference a sample stops iterating once its rates move by less than this."""

    def __post_init__(self) -> None:
        not_negative("core.lateral", iterations=self.iterations, strength=self.strength, tolerance=self.tolerance)


@dataclass(frozen=True, kw_only=True)
class NeuronModelConfig:
    """Neuron-level models over a history of post-activations (equations §2.5, §2.6)."""

    enabled: bool = True
    """Without them the rates after lateral inhibition go on uncorrected."""
    memory_length: int = 25
    """Length M of the history in ticks."""
    hidden: int = 4
    """Hidden units h of each neuron's own network."""
    feedback: bool = True
    """Whether the corrected rates enter the next tick; if not, the Wilson-Cowan rates do."""

    def __post_init__(self) -> None:
        positive("core.neuron_models", memory_length=self.memory_length, hidden=self.hidden)


@dataclass(frozen=True, kw_only=True)
class SynchronyConfig:
    """Three-type synchronisation (equations §2.7)."""

    typed: bool = True
    """If not, as many pairs are drawn regardless of type and read by a single stream of the same width in all."""
    pairs_ee: int = 256
    """Number of E-E pairs (binding)."""
    pairs_ei: int = 128
    """Number of E-I pairs (gating)."""
    pairs_ii: int = 64
    """Number of I-I pairs (rhythm)."""
    width: int = 128
    """Width d_stream of each of the three streams; the latent state is three times as wide."""
    clamp: float | None = None
    """Bound on the magnitude of the accumulators (ImageNet: 100); none by default."""
    norm_epsilon: float = 1e-5
    """Added to the variance in the LayerNorm of the latent state: a large one lets its magnitude through."""
    time_scales: tuple[float, float] | None = None
    """Shortest and longest time scale 1/δ in ticks over which the decays start, log-uniform; none: all at δ = 0."""

    def __post_init__(self) -> None:
        positive(
            "core.synchrony",
            pairs_ee=self.pairs_ee,
            pairs_ei=self.pairs_ei,
            pairs_ii=self.pairs_ii,
            width=self.width,
            clamp=self.clamp,
            norm_epsilon=self.norm_epsilon,
        )
        if self.time_scales is not None:
            check(
                0 < self.time_scales[0] <= self.time_scales[1],
                f"core.synchrony.time_scales are {self.time_scales}, positive ticks are wanted, the shortest first",
            )


@dataclass(frozen=True, kw_only=True)
class MemoryConfig:
    """Surprise-gated associative memory with the E-I retention gate (equations §2.8)."""

    enabled: bool = True
    """Without it the output head reads the latent state alone."""
    width: int = 128
    """Width d_m of the memory."""
    scope: MemoryScope = "sample"
    """`sample`: every sample carries its own memory over the ticks; `batch`: the paper's single buffer."""
    momentum: float = 0.9
    """Momentum μ of the memory's velocity."""
    rate: float = 0.1
    """Step η from velocity to memory."""
    buffer_rate: float = 0.01
    """How far the persistent buffers move towards the batch's final state per accepted optimiser step."""

    def __post_init__(self) -> None:
        positive("core.memory", width=self.width)
        one_of("core.memory", "scope", self.scope, ("sample", "batch"))
        check(0 <= self.momentum < 1, f"core.memory.momentum is {self.momentum}, a value in [0, 1) is wanted")
        for name, value in (("rate", self.rate), ("buffer_rate", self.buffer_rate)):
            check(0 <= value <= 1, f"core.memory.{name} is {value}, a value in [0, 1] is wanted")


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """Output head (equations §2.9)."""

    hidden: int = 256
    """Hidden units after the gated linear unit."""
    dropout: float = 0.1
    """Share of the head's inputs dropped in training."""
    norm_epsilon: float = 1e-5
    """Added to the variance in the head's LayerNorm: a large one lets the magnitude of its input through."""

    def __post_init__(self) -> None:
        positive("core.head", hidden=self.hidden, norm_epsilon=self.norm_epsilon)
        check(0 <= self.dropout < 1, f"core.head.dropout is {self.dropout}, a value in [0, 1) is wanted")


@dataclass(frozen=True, kw_only=True)
class CoreConfig:
    """The recurrent core of TIDE: two populations and everything that happens in a tick (equations §2)."""

    kind: Literal["tide"] = "tide"
    """Which core: tide, ctm or lstm."""
    neurons: int = 256
    """Neurons in all, D."""
    excitatory_fraction: float = 0.8
    """Share of excitatory neurons: n_E = round(fraction · D)."""
    ticks: int = 50
    """Internal ticks T."""
    tau_e: float = 5.0
    """Time constant of the excitatory population in ms (AMPA)."""
    tau_i: float = 20.0
    """Time constant of the inhibitory population in ms (GABA_A)."""
    dt: float = 1.0
    """Euler step Δt in ms."""
    start_rates: tuple[float, float] = (0.8, 0.8)
    """Learned start rates of E and of I are drawn uniform from 0 to these."""
    activation: Activation = "relu"
    """Activation φ."""
    norm: RateNorm = "rms"
    """Norm per population: `rms`, or `rms_cap` (scales down only, Lipschitz constant 1); for ablation `rms_shared` (one
    over both populations) and `none`."""
    dale: bool = True
    """Dale's principle: recurrent and lateral weights are projected to be non-negative; if not, signs are free."""
    guarantee: Guarantee = "none"
    """Stability that holds after every step: `contraction` (small gain: the core as implemented) or `lds` (Lyapunov
    diagonal stability and the linear Euler map); both need norm rms_cap."""
    inhibition: bool = True
    """Whether I inhibits E; without it W_EI = 0."""
    ratio_target: float = 4.0
    """Target r* of the E-I activity ratio."""
    ratio_normalization: RatioNormalization = "sum"
    """E-I ratio of summed rates, or of mean rates per neuron (equal rates are then a target of 1)."""
    attention: AttentionConfig = field(default_factory=AttentionConfig)
    lateral: LateralConfig = field(default_factory=LateralConfig)
    neuron_models: NeuronModelConfig = field(default_factory=NeuronModelConfig)
    synchrony: SynchronyConfig = field(default_factory=SynchronyConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    head: HeadConfig = field(default_factory=HeadConfig)

    @property
    def attends(self) -> bool:
        """Whether the input is read by attention."""
        return self.attention.heads > 0

    @property
    def history(self) -> int:
        """Ticks that the neuron-level models see."""
        return self.neuron_models.memory_length

    @property
    def population(self) -> str:
        """The neurons in words."""
        return f"{self.n_e} E + {self.n_i} I neurons"

    @property
    def n_e(self) -> int:
        """Number of excitatory neurons."""
        return round(self.excitatory_fraction * self.neurons)

    @property
    def n_i(self) -> int:
        """Number of inhibitory neurons."""
        return self.neurons - self.n_e

    @property
    def alpha_e(self) -> float:
        """Share α_E = Δt/τ_E of the way that an excitatory rate goes in one Euler step."""
        return self.dt / self.tau_e

    @property
    def alpha_i(self) -> float:
        """Share α_I = Δt/τ_I of the way that an inhibitory rate goes in one Euler step."""
        return self.dt / self.tau_i

    def __post_init__(self) -> None:
        one_of("core", "kind", self.kind, ("tide",))
        core_size(self.neurons, self.ticks)
        positive("core", neurons=self.neurons, ticks=self.ticks, tau_e=self.tau_e, tau_i=self.tau_i, dt=self.dt)
        positive("core", ratio_target=self.ratio_target)
        check(
            min(self.start_rates) >= 0,
            f"core.start_rates are {self.start_rates}, 0 or more is wanted of both: a rate is never negative",
        )
        check(
            0 < self.excitatory_fraction < 1,
            f"core.excitatory_fraction is {self.excitatory_fraction}, a value strictly between 0 and 1 is wanted",
        )
        check(
            self.n_e >= 2 and self.n_i >= 2,
            f"core.neurons = {self.neurons} at excitatory_fraction {self.excitatory_fraction} gives {self.n_e} E and "
            f"{self.n_i} I neurons, 2 or more of each are wanted: raise core.neurons",
        )
        for name, tau in (("tau_e", self.tau_e), ("tau_i", self.tau_i)):
            check(
                self.dt <= tau,
                f"core.dt is {self.dt} ms, at most core.{name} = {tau} ms is wanted: a longer Euler step overshoots",
            )
        one_of("core", "activation", self.activation, ("relu", "softplus"))
        one_of("core", "norm", self.norm, ("rms", "rms_cap", "rms_shared", "none"))
        one_of("core", "ratio_normalization", self.ratio_normalization, ("sum", "per_neuron"))
        one_of("core", "guarantee", self.guarantee, ("none", "contraction", "lds"))
        if self.guarantee != "none":
            check(
                self.norm == "rms_cap",
                f"core.norm is {self.norm!r}, 'rms_cap' is wanted with core.guarantee {self.guarantee}: under another "
                "norm a guarantee on weights says nothing of the rates",
            )
            check(
                self.dale and self.inhibition,
                f"core.guarantee is {self.guarantee}, core.dale and core.inhibition are wanted: it is one on "
                "four matrices of known signs",
            )
        available = {
            "pairs_ee": self.n_e * (self.n_e - 1) // 2,
            "pairs_ei": self.n_e * self.n_i,
            "pairs_ii": self.n_i * (self.n_i - 1) // 2,
        }
        for name, most in available.items():
            wanted = getattr(self.synchrony, name)
            check(
                wanted <= most,
                f"core.synchrony.{name} is {wanted}, at most {most} distinct pairs exist with {self.n_e} E and "
                f"{self.n_i} I neurons: lower it or raise core.neurons",
            )

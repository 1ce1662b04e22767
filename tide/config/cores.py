"""Settings of the recurrent cores: TIDE's, one section per component (equations §2), and those of the baselines.

The baselines have the options of their reference implementation: Darlow et al., Continuous Thought Machines,
arXiv:2505.05522, and its published code. What its constructor calls ``d_model`` is ``neurons`` here, ``iterations``
``ticks``, ``d_input`` ``attention_width``.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from tide.config.base import Bound, Count, Dropout, NotNegative, Positive, Section, Share, Whole, declare
from tide.errors import check
from tide.types import Activation, Guarantee, MemoryScope, RateNorm, RatioNormalization, Start

PairSelection = Literal["random-pairing", "random", "first-last"]

MAX_TICKS = 10_000
MAX_NEURONS = 32_768

Neurons = Annotated[int, Bound(1, MAX_NEURONS, too_high="the recurrent matrix has as many entries as their square")]
Ticks = Annotated[int, Bound(1, MAX_TICKS, too_high="a training step keeps every tick for the backward pass")]


@dataclass(frozen=True, kw_only=True)
class CoreSettings(Section):
    """What every core's settings have, those of an extension too."""

    section: ClassVar = "core"
    populations: ClassVar[bool] = False
    """Whether there are an excitatory and an inhibitory population, on which the auxiliary losses act."""
    heads_setting: ClassVar[str] = "core.attends"
    """The setting that says whether the input is read by attention."""

    kind: str
    """Which core: tide, ctm or lstm."""

    @property
    @abstractmethod
    def ticks(self) -> int:
        """Internal ticks T."""

    @property
    @abstractmethod
    def attends(self) -> bool:
        """Whether the input is read by attention: tokens (B, N, d_kv); if not, numbers (B, features) as they are."""

    @property
    @abstractmethod
    def population(self) -> str:
        """The neurons in words."""

    @property
    @abstractmethod
    def neurons(self) -> int:
        """Neurons D, or units of a layer."""

    @property
    def drive_width(self) -> int | None:
        """Width of what can stand in the place of the attention's output; None where any will do."""
        return None


@dataclass(frozen=True, kw_only=True)
class AttentionConfig(Section):
    """Cross-attention of the latent state to the tokens (equations §2.1)."""

    section: ClassVar = "core.attention"

    width: Count = 128
    """Width of queries, keys, values and output, d_attn."""
    heads: Whole = 8
    """Number of heads; 0: no attention, the input is a drive of the neurons as it is."""
    residual: bool = False
    """Add a linear map of the latent state inside the LayerNorm (ImageNet)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(
            self.heads == 0 or self.width % self.heads == 0,
            f"core.attention.heads must divide core.attention.width = {self.width}, got {self.heads}",
        )


@dataclass(frozen=True, kw_only=True)
class LateralConfig(Section):
    """Lateral inhibition, winner-take-all inside E (equations §2.4)."""

    section: ClassVar = "core.lateral"

    iterations: Whole = 5
    """Fixed-point iterations K; 0 leaves lateral inhibition out."""
    strength: NotNegative = 0.5
    """Start of the learned strength γ."""
    tolerance: NotNegative = 1e-4
    """At inference a sample stops iterating once its rates move by less than this."""


@dataclass(frozen=True, kw_only=True)
class NeuronModelConfig(Section):
    """Neuron-level models over a history of post-activations (equations §2.5, §2.6)."""

    section: ClassVar = "core.neuron_models"

    enabled: bool = True
    """Without them the rates after lateral inhibition go on uncorrected."""
    memory_length: Count = 25
    """Length M of the history in ticks."""
    hidden: Count = 4
    """Hidden units h of each neuron's own network."""
    feedback: bool = True
    """Whether the corrected rates enter the next tick; if not, the Wilson-Cowan rates do."""


@dataclass(frozen=True, kw_only=True)
class SynchronyConfig(Section):
    """Three-type synchronisation (equations §2.7)."""

    section: ClassVar = "core.synchrony"

    typed: bool = True
    """If not, as many pairs are drawn regardless of type and read by a single stream of the same width in all."""
    pairs_ee: Count = 256
    """Number of E-E pairs (binding)."""
    pairs_ei: Count = 128
    """Number of E-I pairs (gating)."""
    pairs_ii: Count = 64
    """Number of I-I pairs (rhythm)."""
    width: Count = 128
    """Width d_stream of each of the three streams; the latent state is three times as wide."""
    clamp: Positive | None = None
    """Bound on the magnitude of the accumulators (ImageNet: 100); none by default."""
    norm_epsilon: Positive = 1e-5
    """Added to the variance in the LayerNorm of the latent state: a large one lets its magnitude through."""
    time_scales: tuple[Positive, Positive] | None = None
    """Shortest and longest time scale 1/δ in ticks over which the decays start, log-uniform; none: all at δ = 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.time_scales is not None:
            shortest, longest = self.time_scales
            check(
                shortest <= longest, f"core.synchrony.time_scales must have the shortest first, got {self.time_scales}"
            )


@dataclass(frozen=True, kw_only=True)
class MemoryConfig(Section):
    """Surprise-gated associative memory with the E-I retention gate (equations §2.8)."""

    section: ClassVar = "core.memory"

    enabled: bool = True
    """Without it the output head reads the latent state alone."""
    width: Count = 128
    """Width d_m of the memory."""
    scope: MemoryScope = "sample"
    """`sample`: every sample carries its own memory over the ticks; `batch`: the paper's single buffer."""
    momentum: Dropout = 0.9
    """Momentum μ of the memory's velocity."""
    rate: Share = 0.1
    """Step η from velocity to memory."""
    buffer_rate: Share = 0.01
    """How far the persistent buffers move towards the batch's final state per accepted optimiser step."""


@dataclass(frozen=True, kw_only=True)
class HeadConfig(Section):
    """Output head (equations §2.9)."""

    section: ClassVar = "core.head"

    hidden: Count = 256
    """Hidden units after the gated linear unit."""
    dropout: Dropout = 0.1
    """Share of the head's inputs dropped in training."""
    norm_epsilon: Positive = 1e-5
    """Added to the variance in the head's LayerNorm: a large one lets the magnitude of its input through."""


@dataclass(frozen=True, kw_only=True)
class CoreConfig(CoreSettings):
    """The recurrent core of TIDE: two populations and everything that happens in a tick (equations §2)."""

    populations: ClassVar = True
    heads_setting: ClassVar = "core.attention.heads"

    kind: Literal["tide"] = "tide"
    """Which core: tide, ctm or lstm."""
    neurons: Neurons = 256
    """Neurons in all, D."""
    excitatory_fraction: Annotated[float, Bound(0, 1, "()")] = 0.8
    """Share of excitatory neurons: n_E = round(fraction · D)."""
    ticks: Ticks = 50
    """Internal ticks T."""
    tau_e: Positive = 5.0
    """Time constant of the excitatory population in ms (AMPA)."""
    tau_i: Positive = 20.0
    """Time constant of the inhibitory population in ms (GABA_A)."""
    dt: Positive = 1.0
    """Euler step Δt in ms."""
    start_rates: tuple[NotNegative, NotNegative] = (0.8, 0.8)
    """Learned start rates of E and of I are drawn uniform from 0 to these."""
    start: Start = "weak"
    """Where the recurrent matrices start: `weak`, uniform with a mean of 1/fan-in, or `balanced`, exponential, with as
    much inhibition as excitation in each row and weights of order 1/√inputs (paper, Definition A.7)."""
    start_gain: Positive = 1.0
    """Scale of the balanced start."""
    activation: Activation = "relu"
    """Activation φ."""
    norm: RateNorm = "rms"
    """Norm per population: `rms`, or `rms_cap` (scales down only, Lipschitz constant 1), or `layer` (LayerNorm with a
    learned offset, not the paper's); for ablation `rms_shared` (one over both populations) and `none`."""
    dale: bool = True
    """Dale's principle: recurrent and lateral weights are projected to be non-negative; if not, signs are free."""
    guarantee: Guarantee = "none"
    """Stability that holds after every step: `contraction` (small gain: the core as implemented) or `lds` (Lyapunov
    diagonal stability and the linear Euler map); both need norm rms_cap."""
    inhibition: bool = True
    """Whether I inhibits E; without it W_EI = 0."""
    ratio_target: Positive = 4.0
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
    def drive_width(self) -> int:
        """Width of what can stand in the place of the attention's output."""
        return self.attention.width

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
        super().__post_init__()
        check(
            self.n_e >= 2 and self.n_i >= 2,
            f"core.neurons must give 2 or more E and I neurons, got {self.n_e} and {self.n_i} of {self.neurons} at "
            f"excitatory_fraction {self.excitatory_fraction}; raise core.neurons",
        )
        for name, tau in (("tau_e", self.tau_e), ("tau_i", self.tau_i)):
            check(
                self.dt <= tau,
                f"core.dt must be at most core.{name} = {tau} ms, got {self.dt}; a longer Euler step overshoots",
            )
        if self.guarantee != "none":
            check(
                self.norm == "rms_cap",
                f"core.norm must be rms_cap with core.guarantee {self.guarantee}, got {self.norm}; under another norm "
                "a guarantee on weights says nothing of the rates",
            )
            check(
                self.dale and self.inhibition,
                f"core.guarantee must be none without core.dale and core.inhibition, got {self.guarantee}; it "
                "needs four matrices of known signs",
            )
        available = {
            "pairs_ee": self.n_e * (self.n_e - 1) // 2,
            "pairs_ei": self.n_e * self.n_i,
            "pairs_ii": self.n_i * (self.n_i - 1) // 2,
        }
        for name, limit in available.items():
            pairs = getattr(self.synchrony, name)
            check(
                pairs <= limit,
                f"core.synchrony.{name} must be at most {limit} with {self.n_e} E and {self.n_i} I neurons, got "
                f"{pairs}; lower it or raise core.neurons",
            )


@dataclass(frozen=True, kw_only=True)
class CTMConfig(CoreSettings):
    """The recurrent core of the Continuous Thought Machine."""

    heads_setting: ClassVar = "core.heads"

    kind: Literal["ctm"] = "ctm"
    """Which core: tide, ctm or lstm."""
    neurons: Neurons = 256
    """Neurons D."""
    ticks: Ticks = 50
    """Internal ticks T."""
    attention_width: Count = 128
    """Width of queries, keys, values and output."""
    heads: Whole = 8
    """Number of attention heads; 0: no attention, the input stands before the state as it is."""
    synapse_depth: Count = 4
    """Depth of the synapse model: 1 is one gated linear layer, more is a U-Net of so many widths."""
    memory_length: Count = 25
    """Length M of the history of pre-activations in ticks."""
    hidden: Count = 4
    """Hidden units of each neuron's own network; a shallow one has none."""
    deep: bool = True
    """Whether each neuron's own network has two layers (deep) or one (shallow)."""
    neuron_norm: bool = False
    """LayerNorm over the history inside the neuron-level models."""
    selection: PairSelection = "random-pairing"
    """Whose synchrony is read: so many random pairs, all pairs between random neurons, or all pairs among the first
    (for the output) and among the last neurons (for the attention)."""
    synchrony_out: Count = 448
    """Pairs (random-pairing) or neurons (otherwise) whose synchrony gives the logits."""
    synchrony_action: Whole = 448
    """Pairs (random-pairing) or neurons (otherwise) whose synchrony steers the attention; 0 without attention."""
    self_pairs: Whole = 0
    """How many of the random pairs join a neuron with itself."""
    dropout: Dropout = 0.0
    """Share dropped in training in attention weights and synapse inputs."""
    neuron_dropout: Dropout | None = None
    """Share dropped in training in the neuron-level models' inputs (default: as `dropout`)."""
    synapse_blocks: Count = 1
    """Gated linear layers, one behind the other, of a synapse model of depth 1."""
    window: bool = False
    """Whether synchrony is that of the last `memory_length` ticks of the last `synchrony_out` neurons alone, as in the
    reference's reinforcement learning; decays are then at most 4."""

    @property
    def attends(self) -> bool:
        """Whether the input is read by attention."""
        return self.heads > 0

    @property
    def population(self) -> str:
        """The neurons in words."""
        return f"{self.neurons} neurons"

    @property
    def drive_width(self) -> int:
        """Width of what can stand in the place of the attention's output."""
        return self.attention_width

    @property
    def history(self) -> int:
        """Ticks that the neuron-level models see."""
        return self.memory_length

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_heads(self.heads, self.attention_width)
        check(
            (self.synchrony_action > 0) == self.attends,
            f"core.synchrony_action must be {'above 0' if self.attends else '0'} with core.heads = {self.heads}, got "
            f"{self.synchrony_action}; it steers the attention",
        )
        if self.selection == "random-pairing":
            for name in ("synchrony_out", *(["synchrony_action"] * self.attends)):
                check(
                    self.self_pairs < getattr(self, name),
                    f"core.self_pairs must be below core.{name} = {getattr(self, name)}, got {self.self_pairs}",
                )
        check(
            not self.window or (self.selection == "first-last" and not self.attends),
            f"core.window must be off but for core.selection first-last and core.heads 0, got {self.selection} and "
            f"{self.heads}",
        )
        check(
            self.synapse_blocks == 1 or self.synapse_depth == 1,
            f"core.synapse_blocks must be 1 with core.synapse_depth {self.synapse_depth}, got {self.synapse_blocks}",
        )
        if self.selection == "first-last":
            needed = self.synchrony_out + self.synchrony_action
            check(
                needed <= self.neurons,
                f"core.synchrony_out + core.synchrony_action must be at most core.neurons = {self.neurons} with "
                f"selection first-last, got {needed}",
            )


@dataclass(frozen=True, kw_only=True)
class EIConfig(CoreSettings):
    """A plain excitatory-inhibitory layer (:class:`tide.nn.EIRNN`): what laboratories train on series."""

    kind: Literal["ei_rnn"] = "ei_rnn"
    """Which core: tide, ctm, lstm or ei_rnn."""
    neurons: Neurons = 100
    """Neurons in all."""
    ticks: Ticks = 1
    """Euler steps per time step of a series."""
    excitatory_fraction: Annotated[float, Bound(0, 1, "()")] = 0.8
    """Share of excitatory neurons, which alone are read."""
    dt: Positive = 20.0
    """Euler step in ms."""
    tau_e: Positive = 100.0
    """Time constant of the excitatory neurons in ms."""
    tau_i: Positive = 100.0
    """Time constant of the inhibitory neurons in ms."""
    dynamics: Literal["rates", "currents"] = "rates"
    """Wilson-Cowan rates, or currents (Song et al. 2016)."""
    noise: NotNegative = 0.0
    """Deviation σ of the noise in training."""
    dale: Literal["projection", "magnitude", "none"] = "projection"
    """How signs are kept."""
    balanced: bool = True
    """Whether rows start with as much inhibition as excitation."""
    activation: Literal["relu", "softplus", "retanh"] = "relu"
    """Activation φ."""
    guarantee: Guarantee = "none"
    """Stability that holds after every step."""

    @property
    def attends(self) -> bool:
        """Numbers drive the neurons as they are."""
        return False

    @property
    def population(self) -> str:
        """The neurons in words."""
        excitatory = round(self.excitatory_fraction * self.neurons)
        return f"{excitatory} E + {self.neurons - excitatory} I neurons"


@dataclass(frozen=True, kw_only=True)
class LSTMConfig(CoreSettings):
    """The recurrent core of the LSTM baseline: an LSTM that reads the image by attention at every tick."""

    heads_setting: ClassVar = "core.heads"

    kind: Literal["lstm"] = "lstm"
    """Which core: tide, ctm or lstm."""
    neurons: Neurons = 256
    """Hidden units D of each layer."""
    ticks: Ticks = 50
    """Internal ticks T."""
    layers: Count = 2
    """Stacked LSTM layers."""
    attention_width: Count = 128
    """Width of queries, keys, values and output."""
    heads: Whole = 8
    """Number of attention heads; 0: no attention, the input drives the first layer as it is."""
    dropout: Dropout = 0.0
    """Share dropped in training in attention weights and between layers."""

    @property
    def attends(self) -> bool:
        """Whether the input is read by attention."""
        return self.heads > 0

    @property
    def population(self) -> str:
        """The neurons in words."""
        return f"{self.layers} x {self.neurons} units"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_heads(self.heads, self.attention_width)


def _check_heads(heads: int, width: int) -> None:
    check(heads == 0 or width % heads == 0, f"core.heads must divide core.attention_width = {width}, got {heads}")


declare(
    "core",
    {
        CoreConfig: "tide.models.tide",
        CTMConfig: "tide.models.ctm",
        LSTMConfig: "tide.models.lstm",
        EIConfig: "tide.models.ei_rnn",
    },
    CoreSettings,
)

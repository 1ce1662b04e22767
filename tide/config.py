"""Settings: frozen, keyword-only dataclasses that validate themselves.

Each component owns its section. Defaults are the MNIST column of the paper's Table A.1, completed by the choices
marked [C] in ``docs/fidelity.md``. Reading, writing and comparing configurations is in :mod:`tide.config_io`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from tide.errors import check

Activation = Literal["relu", "softplus"]
RateNorm = Literal["rms", "rms_cap"]
RatioNormalization = Literal["sum", "per_neuron"]
MemoryScope = Literal["sample", "batch"]
GameLoss = Literal["mean_field", "residual"]
CenterSurroundInit = Literal["learned", "difference_of_gaussians"]


def _positive(section: str, **values: float | None) -> None:
    for name, value in values.items():
        if value is not None:
            check(
                math.isfinite(value) and value > 0,
                f"{section}.{name} is {value}, a value above 0 is wanted: set {section}.{name} to a positive number",
            )


def _not_negative(section: str, **values: float | None) -> None:
    for name, value in values.items():
        if value is not None:
            check(
                math.isfinite(value) and value >= 0,
                f"{section}.{name} is {value}, 0 or more is wanted: set {section}.{name} to 0 or a positive number",
            )


def _one_of(section: str, name: str, value: object, options: tuple[str, ...]) -> None:
    check(value in options, f"{section}.{name} is {value!r}, one of {', '.join(options)} is wanted")


@dataclass(frozen=True, kw_only=True)
class InputConfig:
    """The images that the model takes: their shape and how their pixels are normalised."""

    channels: int = 1
    """Colour channels: 1 (grey) or 3 (RGB)."""
    size: int = 28
    """Height and width in pixels at which images are read; the model itself takes any size of 8 or more."""
    classes: int = 10
    """Number of classes C."""
    mean: tuple[float, ...] = (0.1307,)
    """Mean of each channel over the training images, pixels in [0, 1]."""
    std: tuple[float, ...] = (0.3081,)
    """Standard deviation of each channel over the training images, pixels in [0, 1]."""
    labels: tuple[str, ...] = ()
    """Names of the classes; empty: they are called by number."""

    def __post_init__(self) -> None:
        check(self.channels in (1, 3), f"input.channels is {self.channels}, 1 (grey) or 3 (RGB) is wanted")
        check(self.size >= 8, f"input.size is {self.size}, 8 pixels or more are wanted: enlarge the images")
        check(self.classes >= 2, f"input.classes is {self.classes}, 2 or more are wanted")
        for name, values in (("mean", self.mean), ("std", self.std)):
            check(
                len(values) == self.channels,
                f"input.{name} has {len(values)} values, {self.channels} (one per channel) are wanted",
            )
        check(all(s > 0 for s in self.std), f"input.std is {self.std}, positive numbers are wanted")
        check(
            len(self.labels) in (0, self.classes),
            f"input.labels has {len(self.labels)} names, {self.classes} (one per class) or none are wanted",
        )

    def label(self, index: int) -> str:
        """Return the name of a class."""
        return self.labels[index] if self.labels else str(index)


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """Shallow hierarchical receptive field (equations §6)."""

    width: int = 32
    """Channels of the stem and of each expansion convolution."""
    branch_width: int = 16
    """Channels of each of the four center-surround branches."""
    features: int = 128
    """Channels of a token, d_kv."""
    grid: int = 8
    """The tokens form a grid of this many rows and columns."""
    init: CenterSurroundInit = "learned"
    """Start of the center-surround kernels: `learned` (random) or `difference_of_gaussians`."""

    def __post_init__(self) -> None:
        _positive("backbone", width=self.width, branch_width=self.branch_width, features=self.features, grid=self.grid)
        check(
            self.features % 4 == 0,
            f"backbone.features is {self.features}, a multiple of 4 is wanted: 2-D sinusoidal positions need it",
        )
        _one_of("backbone", "init", self.init, ("learned", "difference_of_gaussians"))


@dataclass(frozen=True, kw_only=True)
class AttentionConfig:
    """Cross-attention of the latent state to the tokens (equations §2.1)."""

    width: int = 128
    """Width of queries, keys, values and output, d_attn."""
    heads: int = 8
    """Number of heads."""
    residual: bool = False
    """Add a linear map of the latent state inside the LayerNorm (ImageNet)."""

    def __post_init__(self) -> None:
        _positive("core.attention", width=self.width, heads=self.heads)
        check(
            self.width % self.heads == 0,
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
        _not_negative("core.lateral", iterations=self.iterations, strength=self.strength, tolerance=self.tolerance)


@dataclass(frozen=True, kw_only=True)
class NeuronModelConfig:
    """Neuron-level models over a history of post-activations (equations §2.5, §2.6)."""

    memory_length: int = 25
    """Length M of the history in ticks."""
    hidden: int = 4
    """Hidden units h of each neuron's own network."""
    feedback: bool = True
    """Whether the corrected rates enter the next tick; if not, the Wilson-Cowan rates do."""

    def __post_init__(self) -> None:
        _positive("core.neuron_models", memory_length=self.memory_length, hidden=self.hidden)


@dataclass(frozen=True, kw_only=True)
class SynchronyConfig:
    """Three-type synchronisation (equations §2.7)."""

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

    def __post_init__(self) -> None:
        _positive(
            "core.synchrony",
            pairs_ee=self.pairs_ee,
            pairs_ei=self.pairs_ei,
            pairs_ii=self.pairs_ii,
            width=self.width,
            clamp=self.clamp,
        )


@dataclass(frozen=True, kw_only=True)
class MemoryConfig:
    """Surprise-gated associative memory with the E-I retention gate (equations §2.8)."""

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
        _positive("core.memory", width=self.width)
        _one_of("core.memory", "scope", self.scope, ("sample", "batch"))
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

    def __post_init__(self) -> None:
        _positive("core.head", hidden=self.hidden)
        check(0 <= self.dropout < 1, f"core.head.dropout is {self.dropout}, a value in [0, 1) is wanted")


@dataclass(frozen=True, kw_only=True)
class CoreConfig:
    """The recurrent core of TIDE: two populations and everything that happens in a tick (equations §2)."""

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
    activation: Activation = "relu"
    """Activation φ."""
    norm: RateNorm = "rms"
    """Norm per population: `rms`, or `rms_cap` (scales down only, Lipschitz constant 1)."""
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
    def n_e(self) -> int:
        """Number of excitatory neurons."""
        return round(self.excitatory_fraction * self.neurons)

    @property
    def n_i(self) -> int:
        """Number of inhibitory neurons."""
        return self.neurons - self.n_e

    def __post_init__(self) -> None:
        _positive("core", neurons=self.neurons, ticks=self.ticks, tau_e=self.tau_e, tau_i=self.tau_i, dt=self.dt)
        _positive("core", ratio_target=self.ratio_target)
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
        _one_of("core", "activation", self.activation, ("relu", "softplus"))
        _one_of("core", "norm", self.norm, ("rms", "rms_cap"))
        _one_of("core", "ratio_normalization", self.ratio_normalization, ("sum", "per_neuron"))
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


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Everything that determines a model: with the seed, its weights and pair indices too."""

    seed: int = 42
    """Seed of the weights and the pair indices (and, in training, of data order, augmentation and dropout)."""
    input: InputConfig = field(default_factory=InputConfig)
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    core: CoreConfig = field(default_factory=CoreConfig)

    def __post_init__(self) -> None:
        check(0 <= self.seed < 2**63, f"seed is {self.seed}, a whole number from 0 to 2^63 - 1 is wanted")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The training images and their augmentation."""

    name: str = "mnist"
    """digits, mnist, fashion-mnist, cifar10, cifar100, or folder:DIR."""
    crop_padding: int = 0
    """Random crop after padding by this many pixels."""
    flip: bool = False
    """Random horizontal flip."""

    def __post_init__(self) -> None:
        _not_negative("data", crop_padding=self.crop_padding)


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights of the five terms of the objective and their constants (equations §4)."""

    task_weight: float = 1.0
    """Weight of the dual cross-entropy."""
    ei_weight: float = 0.1
    """Weight of the E-I balance."""
    game_weight: float = 0.01
    """Weight of the game loss."""
    game: GameLoss = "mean_field"
    """`mean_field`: mean-field Nash residual (small sets); `residual`: distance of rates from φ(h) (ImageNet)."""
    game_epsilon: float = 0.1
    """Keeps the mean-field residual finite at the boundary of concavity."""
    game_clip: float = 10.0
    """Most that one sample adds to the mean-field residual."""
    sync_weight: float = 0.01
    """Weight of the synchronisation penalty."""
    spectral_weight: float = 0.0
    """Weight of the spectral stabiliser."""
    spectral_targets: tuple[float, float] = (15.0, 7.0)
    """Perron targets for W_EE and W_II."""
    perron_iterations: int = 20
    """Power iterations J of the Perron estimate."""
    reconstruction_weight: float = 0.0
    """Weight of a term that trains the memory's reconstruction; 0 is the paper's five-term objective."""

    def __post_init__(self) -> None:
        _not_negative(
            "loss",
            task_weight=self.task_weight,
            ei_weight=self.ei_weight,
            game_weight=self.game_weight,
            sync_weight=self.sync_weight,
            spectral_weight=self.spectral_weight,
            reconstruction_weight=self.reconstruction_weight,
        )
        _positive(
            "loss", game_epsilon=self.game_epsilon, game_clip=self.game_clip, perron_iterations=self.perron_iterations
        )
        _one_of("loss", "game", self.game, ("mean_field", "residual"))


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """Gradient clipping: by global norm, and by the norm of each named component."""

    total: float | None = 1.0
    """Greatest global norm; none turns it off."""
    backbone: float | None = None
    attention: float | None = None
    dynamics: float | None = None
    """Wilson-Cowan weights together with the lateral inhibition."""
    neuron_models: float | None = None
    synchrony: float | None = None
    """Synchronisation together with the memory."""
    head: float | None = None

    def __post_init__(self) -> None:
        _positive("train.clip", **vars(self))


@dataclass(frozen=True, kw_only=True)
class ReferenceSchedule:
    """The schedule of the full-length run; shortened runs scale it in proportion."""

    steps: int = 50_000
    warmup: int = 1_000
    curriculum_start: int = 1_000
    curriculum_length: int = 5_000

    def __post_init__(self) -> None:
        _positive("train.reference", steps=self.steps)
        _not_negative(
            "train.reference",
            warmup=self.warmup,
            curriculum_start=self.curriculum_start,
            curriculum_length=self.curriculum_length,
        )


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The training procedure for one device (equations §5)."""

    steps: int = 50_000
    """Optimiser steps."""
    batch: int = 64
    """Images per micro-batch."""
    accumulation: int = 1
    """Micro-batches per optimiser step."""
    learning_rate: float = 1e-3
    """Peak learning rate of AdamW."""
    weight_decay: float = 1e-4
    """Decoupled weight decay; never on biases, gains, decays and start rates."""
    reference: ReferenceSchedule = field(default_factory=ReferenceSchedule)
    warmup: int | None = None
    """Steps of linear warm-up; scaled from the reference when not given."""
    curriculum_start: int | None = None
    """Step at which the auxiliary losses begin to count; scaled from the reference when not given."""
    curriculum_length: int | None = None
    """Length of the curriculum's cosine ramp in steps; scaled from the reference when not given."""
    tbptt: int = 0
    """Backpropagate through at most this many ticks; 0 is all of them."""
    clip: ClipConfig = field(default_factory=ClipConfig)
    max_rejections: int = 20
    """Rejected steps in a row that end the run."""
    log_every: int = 10
    """Steps between lines of metrics."""
    monitor_every: int = 100
    """Steps between runs of the stability monitor."""
    eval_every: int = 1_000
    """Steps between evaluations on the whole test split; the last step is always evaluated."""
    checkpoint_every: int = 500
    """Steps between checkpoints; the last step is always saved."""
    eval_batch: int = 500
    """Images per batch in evaluation."""

    def __post_init__(self) -> None:
        _positive(
            "train",
            steps=self.steps,
            batch=self.batch,
            accumulation=self.accumulation,
            learning_rate=self.learning_rate,
            max_rejections=self.max_rejections,
            log_every=self.log_every,
            monitor_every=self.monitor_every,
            eval_every=self.eval_every,
            checkpoint_every=self.checkpoint_every,
            eval_batch=self.eval_batch,
        )
        _not_negative(
            "train",
            weight_decay=self.weight_decay,
            warmup=self.warmup,
            curriculum_start=self.curriculum_start,
            curriculum_length=self.curriculum_length,
            tbptt=self.tbptt,
        )


@dataclass(frozen=True, kw_only=True)
class Config(ModelConfig):
    """A whole experiment: model, data, objective, training."""

    data: DataConfig = field(default_factory=DataConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    @property
    def model(self) -> ModelConfig:
        """The part that determines the model."""
        return ModelConfig(seed=self.seed, input=self.input, backbone=self.backbone, core=self.core)

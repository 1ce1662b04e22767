"""The objective and the training procedure (equations §4, §5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

from tide.config.checks import at_most, not_negative, one_of, positive
from tide.errors import check

MixedPrecision = Literal["none", "bf16", "fp16"]
GameLoss = Literal["mean_field", "residual", "augmented_lagrangian"]
Objective = Literal["two_point", "anytime", "route", "ctc"]
SecondTick = Literal["certain", "last"]


class LossTerm(NamedTuple):
    """A term of the objective: its name, whether the curriculum ramps it up, and whether it is of two populations.

    Its weight is the setting ``loss.NAME_weight``, its function stands under its name in ``tide.losses``.
    """

    name: str
    ramped: bool
    of_populations: bool


TERMS = (
    LossTerm("task", ramped=False, of_populations=False),
    LossTerm("ei", ramped=True, of_populations=True),
    LossTerm("game", ramped=True, of_populations=True),
    LossTerm("sync", ramped=True, of_populations=True),
    LossTerm("spectral", ramped=False, of_populations=True),
    LossTerm("reconstruction", ramped=False, of_populations=True),
)
"""Every term of the objective, in the order in which they are added up and reported."""


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights of the five terms of the objective and their constants (equations §4)."""

    task_weight: float = 1.0
    """Weight of the task term."""
    objective: Objective = "two_point"
    """The task term: `two_point`, the paper's, cross-entropy at the tick of least loss and at the most certain one;
    `anytime`, a mixture of it with the mean over all ticks, so that every tick holds an answer; `route`, the first of
    the moves that are right already and some more; `ctc`, a list that is emitted symbol by symbol over the ticks."""
    second_tick: SecondTick = "certain"
    """The tick beside that of least loss: the most `certain` one, or the `last`, as the reference asks of its LSTM."""
    lookahead: int = 5
    """Moves of a route that count beyond those that are right already."""
    anytime_weight: float = 0.5
    """Share of the mean over all ticks in the objective `anytime`."""
    ei_weight: float = 0.1
    """Weight of the E-I balance."""
    game_weight: float = 0.01
    """Weight of the game loss."""
    game: GameLoss = "mean_field"
    """`mean_field`: mean-field Nash residual (small sets); `residual`: distance of rates from φ(h) (ImageNet);
    `augmented_lagrangian`: multipliers on the mean-field residual and a growing penalty."""
    game_penalty: float = 1.0
    """Penalty μ that `augmented_lagrangian` starts with."""
    game_every: int = 50
    """Accepted steps between two moves of its multipliers."""
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
        not_negative("loss", **{f"{term.name}_weight": self.weight(term) for term in TERMS})
        positive(
            "loss",
            game_penalty=self.game_penalty,
            game_every=self.game_every,
            game_epsilon=self.game_epsilon,
            game_clip=self.game_clip,
            perron_iterations=self.perron_iterations,
            lookahead=self.lookahead,
        )
        one_of("loss", "second_tick", self.second_tick, get_args(SecondTick))
        one_of("loss", "game", self.game, ("mean_field", "residual", "augmented_lagrangian"))
        one_of("loss", "objective", self.objective, get_args(Objective))
        check(
            0 < self.anytime_weight <= 1,
            f"loss.anytime_weight is {self.anytime_weight}, above 0 and at most 1 is wanted: 0 is --loss.objective "
            "two_point",
        )

    def weight(self, term: LossTerm) -> float:
        """Return the weight of a term of the objective."""
        value: float = getattr(self, f"{term.name}_weight")
        return value


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
    quantile: float | None = None
    """Clip the global norm at this quantile of those of the last 1,000 steps, that of the step among them."""

    def __post_init__(self) -> None:
        positive("train.clip", **vars(self))
        check(
            self.quantile is None or self.quantile < 1,
            f"train.clip.quantile is {self.quantile}, a value below 1 is wanted: 0.9 is usual",
        )


@dataclass(frozen=True, kw_only=True)
class ReferenceSchedule:
    """The schedule of the full-length run; shortened runs scale it in proportion."""

    steps: int = 50_000
    warmup: int = 1_000
    curriculum_start: int = 1_000
    curriculum_length: int = 5_000

    def __post_init__(self) -> None:
        positive("train.reference", steps=self.steps)
        not_negative(
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
    """Micro-batches per optimiser step, of all processes together."""
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
    recompute: int = 0
    """Keep activations of only so many ticks at a time and compute the others again in the backward pass; 0 keeps
    all."""
    mixed_precision: MixedPrecision = "none"
    """Precision of the backbone in training: `none` (float32), `bf16`, or `fp16` with a scaled loss; the dynamics stay
    in float32."""
    clip: ClipConfig = field(default_factory=ClipConfig)
    max_rejections: int = 20
    """Rejected steps in a row that end the run."""
    log_every: int = 10
    """Steps between lines of metrics."""
    monitor_every: int = 100
    """Steps between runs of the stability monitor."""
    eval_every: int = 1_000
    """Steps between evaluations on the whole test split; the last step is always evaluated."""
    probe_every: int = 0
    """Steps between evaluations on the first test images only, for the learning curve; 0 leaves them out."""
    probe_images: int = 1_000
    """Test images of such an evaluation."""
    checkpoint_every: int = 500
    """Steps between checkpoints; the last step is always saved."""
    eval_batch: int = 500
    """Images per batch in evaluation."""

    def __post_init__(self) -> None:
        why = "all images of a micro-batch are in memory at once, raise train.accumulation"
        at_most("train", 65_536, why, batch=self.batch, eval_batch=self.eval_batch)
        positive(
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
            probe_images=self.probe_images,
        )
        one_of("train", "mixed_precision", self.mixed_precision, ("none", "bf16", "fp16"))
        not_negative(
            "train",
            weight_decay=self.weight_decay,
            warmup=self.warmup,
            curriculum_start=self.curriculum_start,
            curriculum_length=self.curriculum_length,
            tbptt=self.tbptt,
            recompute=self.recompute,
            probe_every=self.probe_every,
        )

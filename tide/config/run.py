"""Settings of a run: the data, the objective and the training procedure (equations §4, §5); and a whole experiment."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, cast, get_args

from tide.config import base
from tide.config.base import Bound, Count, NotNegative, Positive, Section, Whole, declare
from tide.config.model import ModelConfig
from tide.errors import check, short_repr

NamedSet = Literal["digits", "mnist", "fashion-mnist", "cifar10", "cifar100"]
Photos = Literal["in_memory", "streamed"]
MixedPrecision = Literal["none", "bf16", "fp16"]
GameLoss = Literal["mean_field", "residual", "augmented_lagrangian"]
SecondTick = Literal["certain", "last"]
TicksThatCount = Literal["two_point", "anytime", "last_certain", "last", "late"]

Batch = Annotated[
    int, Bound(1, 65_536, too_high="all images of a micro-batch are in memory at once: raise train.accumulation")
]


@dataclass(frozen=True, kw_only=True)
class DataSettings(Section):
    """What every kind of data's settings have, those of an extension too."""

    section: ClassVar = "data"

    kind: str
    """Which data: named, folder, hub or drawn."""
    name: str
    validation: NotNegative = 0.0
    """Training images held out to choose by, the same share of each class: a number, or a share below 1. Evaluations
    of the run and its best checkpoint are then on these, and the test split is never looked at; 0: on the test
    split, as in the paper."""

    @property
    def crop_padding(self) -> int:
        """Random crop after padding by this many pixels; of data in memory."""
        return 0

    @property
    def flip(self) -> bool:
        """Random horizontal flip."""
        return False

    @property
    def measured_on(self) -> str:
        """What the evaluations of a run are on, in a word."""
        return "validation" if self.validation else "test"

    @property
    def title(self) -> str:
        """The data as ``--data`` takes them: :func:`data_config` reads it."""
        return self.name if self.kind in ("named", "drawn") else f"{self.kind}:{self.name}"

    def __post_init__(self) -> None:
        super().__post_init__()
        check(isinstance(self.name, str), f"data.name must be a text, got {short_repr(self.name)}")
        check(bool(self.name), "data.name must not be empty; folder:. is the folder at hand")
        prefix = self.name.partition(":")[0]
        check(
            prefix not in ("folder", "hub"),
            f"data.name must be the place alone, got {self.name!r}; --data names both, data.kind the kind",
        )
        check(
            self.validation < 1 or self.validation == int(self.validation),
            f"data.validation must be a whole number of images or a share below 1, got {self.validation}",
        )


@dataclass(frozen=True, kw_only=True)
class NamedDataConfig(DataSettings):
    """A published data set, small enough for memory."""

    kind: Literal["named"] = "named"
    name: NamedSet = "mnist"
    """Its name."""
    crop_padding: Whole = 0
    """Random crop after padding by this many pixels."""
    flip: bool = False
    """Random horizontal flip."""


@dataclass(frozen=True, kw_only=True)
class FolderConfig(DataSettings):
    """Photos in a folder, ``train/CLASS/*`` and ``val/CLASS/*``."""

    kind: Literal["folder"] = "folder"
    name: str = "photos"
    """Path of the folder."""
    photos: Photos = "in_memory"
    """Photos `in_memory` are decoded once, to the square in their middle; `streamed` ones whenever they are used, in
    training to a random part of 8 to 100 % of their area: for data that do not fit into memory."""
    crop_padding: Whole = 0
    """Random crop after padding by this many pixels; of photos in memory."""
    flip: bool = False
    """Random horizontal flip."""
    unreadable_limit: Whole = 100
    """Photos that may be unreadable; more end the run."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(
            self.photos == "in_memory" or self.crop_padding == 0,
            f"data.crop_padding must be 0 for streamed photos, got {self.crop_padding}; theirs is another crop",
        )


@dataclass(frozen=True, kw_only=True)
class HubConfig(DataSettings):
    """Photos in Parquet files, as on the Hugging Face hub, memory-mapped; in training a random part of each."""

    kind: Literal["hub"] = "hub"
    name: str = "photos"
    """Path of a folder with the files, or OWNER/NAME[@REVISION] on the hub."""
    flip: bool = False
    """Random horizontal flip."""
    unreadable_limit: Whole = 100
    """Photos that may be unreadable; more end the run."""


@dataclass(frozen=True, kw_only=True)
class DrawnConfig(DataSettings):
    """Samples of a task that a program draws, without end."""

    kind: Literal["drawn"] = "drawn"
    name: str = "parity"
    """Name of the task: parity, sort, maze, qamnist, sudoku, decision, matching, context, go, flip_flop, or one that
    was registered."""


def data_config(text: str, former: DataSettings | None = None) -> DataSettings:
    """Return the settings for a data set as ``--data`` takes it; what its kind shares with ``former`` stays as there.

    That is a name, ``folder:DIR`` (photos), ``hub:DIR`` or ``hub:OWNER/NAME[@REVISION]`` (photos in Parquet files), or
    ``KIND:NAME`` of an extension; a name that is of no published set is that of a task. Raises
    :class:`~tide.errors.ConfigError` for an empty one.
    """
    check(isinstance(text, str), f"data set must be a name, folder:DIR or hub:DIR, got {short_repr(text)}")
    kind, colon, place = text.partition(":")
    section: Any = {**base.settings("data"), "named": None, "drawn": None}.get(kind) if colon else None
    if section is None:
        section, place = (NamedDataConfig if text in get_args(NamedSet) else DrawnConfig), text
    names = {field.name for field in fields(section)} - {"kind", "name"}
    shared = {name: getattr(former, name) for name in names if hasattr(former, name)}
    return cast(DataSettings, section(**shared, name=place))


class LossTerm(NamedTuple):
    """A term of the objective: its name, whether the curriculum ramps it up, and whether it is of two populations.

    Its weight is the setting ``loss.NAME_weight``; :mod:`tide.losses` measures it.
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
class LossConfig(Section):
    """Weights of the five terms of the objective and their constants (equations §4)."""

    section: ClassVar = "loss"

    task_weight: NotNegative = 1.0
    """Weight of the task term."""
    objective: str = "two_point"
    """The task term: `two_point`, the paper's, cross-entropy at the tick of least loss and at the most certain one;
    `anytime`, a mixture of it with the mean over all ticks, so that every tick holds an answer; `last_certain`, half at
    the last tick and half at the most certain one; `last`, the last tick alone; `late`, all ticks, each in proportion
    to its number; `route`, the first of the moves that are right already and some more; `ctc`, a list that is emitted
    symbol by symbol over the ticks; or one that is registered."""
    second_tick: SecondTick = "certain"
    """The tick beside that of least loss: the most `certain` one, or the `last`, as the reference asks of its LSTM."""
    lookahead: Count = 5
    """Moves of a route that count beyond those that are right already."""
    route_ticks: TicksThatCount = "two_point"
    """The ticks at which the moves of objective `route` count."""
    anytime_weight: Annotated[float, Bound(0, 1, "(", "0 is --loss.objective two_point")] = 0.5
    """Share of the mean over all ticks in the objective `anytime`."""
    ei_weight: NotNegative = 0.1
    """Weight of the E-I balance."""
    game_weight: NotNegative = 0.01
    """Weight of the game loss."""
    game: GameLoss = "mean_field"
    """`mean_field`: mean-field Nash residual (small sets); `residual`: distance of rates from φ(h) (ImageNet);
    `augmented_lagrangian`: multipliers on the mean-field residual and a growing penalty."""
    game_penalty: Positive = 1.0
    """Penalty μ that `augmented_lagrangian` starts with."""
    game_every: Count = 50
    """Accepted steps between two moves of its multipliers."""
    game_epsilon: Positive = 0.1
    """Keeps the mean-field residual finite at the boundary of concavity."""
    game_clip: Positive = 10.0
    """Most that one sample adds to the mean-field residual."""
    sync_weight: NotNegative = 0.01
    """Weight of the synchronisation penalty."""
    spectral_weight: NotNegative = 0.0
    """Weight of the spectral stabiliser."""
    spectral_targets: tuple[float, float] = (15.0, 7.0)
    """Perron targets for W_EE and W_II."""
    perron_iterations: Count = 20
    """Power iterations J of the Perron estimate."""
    reconstruction_weight: NotNegative = 0.0
    """Weight of a term that trains the memory's reconstruction; 0 is the paper's five-term objective."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(
            self.objective in base.names("objective"),
            f"loss.objective must be one of {', '.join(base.names('objective'))}, got {short_repr(self.objective)}",
        )

    def weight(self, term: LossTerm) -> float:
        """Return the weight of a term of the objective."""
        value: float = getattr(self, f"{term.name}_weight")
        return value


@dataclass(frozen=True, kw_only=True)
class ClipConfig(Section):
    """Gradient clipping: by global norm, and by the norm of each named component."""

    section: ClassVar = "train.clip"

    total: Positive | None = 1.0
    """Greatest global norm; none turns it off."""
    backbone: Positive | None = None
    attention: Positive | None = None
    dynamics: Positive | None = None
    """Wilson-Cowan weights together with the lateral inhibition."""
    neuron_models: Positive | None = None
    synchrony: Positive | None = None
    """Synchronisation together with the memory."""
    head: Positive | None = None
    quantile: Annotated[float, Bound(0, 1, "()", "0.9 is usual")] | None = None
    """Clip the global norm at this quantile of those of the last 1,000 steps, that of the step among them."""


@dataclass(frozen=True, kw_only=True)
class ReferenceSchedule(Section):
    """The schedule of the full-length run; shortened runs scale it in proportion."""

    section: ClassVar = "train.reference"

    steps: Count = 50_000
    warmup: Whole = 1_000
    curriculum_start: Whole = 1_000
    curriculum_length: Whole = 5_000


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Section):
    """The training procedure for one device (equations §5)."""

    section: ClassVar = "train"

    steps: Count = 50_000
    """Optimiser steps."""
    batch: Batch = 64
    """Images per micro-batch."""
    accumulation: Count = 1
    """Micro-batches per optimiser step, of all processes together."""
    learning_rate: Positive = 1e-3
    """Peak learning rate of AdamW."""
    weight_decay: NotNegative = 1e-4
    """Decoupled weight decay; never on biases, gains, decays and start rates."""
    reference: ReferenceSchedule = field(default_factory=ReferenceSchedule)
    warmup: Whole | None = None
    """Steps of linear warm-up; scaled from the reference when not given."""
    curriculum_start: Whole | None = None
    """Step at which the auxiliary losses begin to count; scaled from the reference when not given."""
    curriculum_length: Whole | None = None
    """Length of the curriculum's cosine ramp in steps; scaled from the reference when not given."""
    tbptt: Whole = 0
    """Backpropagate through at most this many ticks; 0 is all of them."""
    recompute: Whole = 0
    """Keep activations of only so many ticks at a time and compute the others again in the backward pass; 0 keeps
    all."""
    mixed_precision: MixedPrecision = "none"
    """Precision of the backbone in training: `none` (float32), `bf16`, or `fp16` with a scaled loss; the dynamics stay
    in float32."""
    ema: Annotated[float, Bound(0, 1, "()", "0.999 is usual")] | None = None
    """Evaluate and save an exponential moving average of the weights, of this decay per step."""
    head_start: Whole = 0
    """Up to this many ticks, a number drawn at each step, run without gradient before those that are trained."""
    segments: Count = 1
    """Optimiser steps on each batch: after the loss of T ticks the next one thinks on, from the state detached."""
    clip: ClipConfig = field(default_factory=ClipConfig)
    max_rejections: Count = 20
    """Rejected steps in a row that end the run."""
    log_every: Count = 10
    """Steps between lines of metrics."""
    monitor_every: Count = 100
    """Steps between runs of the stability monitor."""
    eval_every: Count = 1_000
    """Steps between evaluations on the whole test split; the last step is always evaluated."""
    probe_every: Whole = 0
    """Steps between evaluations on the first test images only, for the learning curve; 0 leaves them out."""
    probe_images: Count = 1_000
    """Test images of such an evaluation."""
    checkpoint_every: Count = 500
    """Steps between checkpoints; the last step is always saved."""
    eval_batch: Batch = 500
    """Images per batch in evaluation."""


@dataclass(frozen=True, kw_only=True)
class Config(ModelConfig):
    """A whole experiment: model, data, objective, training."""

    data: DataSettings = field(default_factory=NamedDataConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        output, objective = self.output, self.loss.objective
        built_in = objective in (*get_args(TicksThatCount), "route", "ctc")
        check(
            (objective == "ctc") == (output.emitted > 0) or not built_in,
            f"loss.objective must be ctc for a list that is emitted over the ticks, and only for one, got {objective} "
            f"with output.emitted = {output.emitted}",
        )
        check(
            objective != "route" or len(output.positions) == 1,
            f"output.positions must be one number of moves for loss.objective route, got {output.positions}",
        )
        check(
            output.emitted <= self.core.ticks,
            f"core.ticks must be at least output.emitted = {output.emitted}, got {self.core.ticks}; a tick emits one "
            "symbol at most",
        )
        for name, value in (("head_start", self.train.head_start), ("segments", self.train.segments - 1)):
            check(
                value == 0 or not (output.emitted or self.input.kind in ("schedule", "series")),
                f"train.{name} must be {int(name == 'segments')}, got {getattr(self.train, name)}: a list that is "
                "emitted over the ticks, or an input that is shown in parts, begins at its first tick",
            )
        if self.core.populations:
            return
        baseline = self.core.kind in ("ctm", "lstm")
        remedy = f"; the presets {self.core.kind}.TASK leave these terms out" if baseline else ""
        for term in TERMS:
            weight = self.loss.weight(term)
            check(
                weight == 0 or not term.of_populations,
                f"loss.{term.name}_weight must be 0, got {weight}: core {self.core.kind} has no excitatory and "
                f"inhibitory populations for it to act on{remedy}",
            )

    @property
    def model(self) -> ModelConfig:
        """The part that determines the model."""
        return ModelConfig(seed=self.seed, input=self.input, output=self.output, backbone=self.backbone, core=self.core)


declare("data", dict.fromkeys((NamedDataConfig, FolderConfig, HubConfig, DrawnConfig), "tide.data.load"), DataSettings)
_TASKS = {
    **dict.fromkeys(("parity", "sort", "qamnist"), "tide.data.drawn.sequences"),
    "maze": "tide.data.drawn.mazes",
    "sudoku": "tide.data.drawn.sudoku",
    **dict.fromkeys(("decision", "matching", "context", "go", "flip_flop"), "tide.data.drawn.trials"),
}
declare("task", _TASKS, reserved=get_args(NamedSet))
declare("objective", dict.fromkeys((*get_args(TicksThatCount), "route", "ctc"), "tide.losses"))

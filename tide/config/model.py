"""Settings of a model: what goes in, what comes out, the backbone between the input and the core."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from tide.config.base import Bound, Count, NotNegative, Positive, Section, Whole, declare
from tide.config.cores import CoreConfig, CoreSettings
from tide.errors import ConfigError, check

CenterSurroundInit = Literal["learned", "difference_of_gaussians"]
Normalisation = Literal["data", "image", "channel"]
SequencePositions = Literal["rotational", "sinusoidal", "learned"]

MAX_LENGTH = 4096  # symbols of a sequence
MAX_PARTS = 50  # digits or operations: the indices of a question have so many embeddings in the reference

Pixels = Annotated[int, Bound(8, too_low="enlarge the images")]
Grid = Annotated[int, Bound(1, 128, too_high="attention reads grid x grid tokens")]


@dataclass(frozen=True, kw_only=True)
class InputSettings(Section):
    """What every kind of input's settings have."""

    section: ClassVar = "input"

    kind: str
    """What the model takes: image, sequence or schedule."""

    @property
    def reading(self) -> str:
        """What a backbone has to read: the kind, or ``numbers``, which are no tokens to attend to."""
        return self.kind

    @property
    @abstractmethod
    def extent(self) -> int:
        """How large it is: the length of a sequence, the height and width of an image in pixels."""


@dataclass(frozen=True, kw_only=True)
class RetinaConfig(Section):
    """Center-surround cells with divisive normalisation, in front of any backbone."""

    section: ClassVar = "input.retina"

    enabled: bool = False
    """Whether the backbone sees local contrast in place of pixels."""
    center: NotNegative = 0.8
    """Deviation of the center in pixels of an image of 28 a side, scaled with others; 0: the pixel itself."""
    surround: Positive = 2.5
    """Deviation of the surround, likewise."""
    floor: Positive = 0.3
    """Contrast below which answers fade, in the units of the normalised image."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(
            self.center < self.surround,
            f"input.retina.center must be below input.retina.surround = {self.surround}, got {self.center}",
        )


IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGENET_GREY = (0.449,), (0.226,)


@dataclass(frozen=True, kw_only=True)
class ImageConfig(InputSettings):
    """The images that the model takes: their shape and how their pixels are normalised."""

    kind: Literal["image"] = "image"
    channels: int = 1
    """Colour channels: 1 (grey) or 3 (RGB)."""
    size: Pixels = 28
    """Height and width in pixels at which images are read; the model itself takes any size of 8 or more."""
    crop: Annotated[float, Bound(0, 1, "(", too_high="1 keeps it all")] = 1.0
    """Share of a photo's shorter side that the square in its middle has, which is scaled to that size: in every
    evaluation and prediction, in memory and streamed. ImageNet's usual 224 of 256 pixels are 0.875."""
    mean: tuple[float, ...] | None = (0.1307,)
    """Mean of each channel over the training images, pixels in [0, 1] (none: of photos in memory it is measured, else
    ImageNet's)."""
    std: tuple[float, ...] | None = (0.3081,)
    """Standard deviation of each channel over the training images, pixels in [0, 1] (none: as the mean)."""
    normalise: Normalisation = "data"
    """By what pixels are normalised: `data`, the mean and std of the training images; `image`, each image's own mean
    and deviation, all channels together, as an eye adapts to luminance and contrast; `channel`, likewise for each
    channel by itself."""
    retina: RetinaConfig = field(default_factory=RetinaConfig)

    @property
    def extent(self) -> int:
        """Height and width in pixels."""
        return self.size

    @property
    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation, of ImageNet where none are given: of its colours, or of their mean as grey."""
        mean, std = IMAGENET if self.channels == 3 else IMAGENET_GREY
        return self.mean or mean, self.std or std

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_pixels(*self.statistics, self.channels)


@dataclass(frozen=True, kw_only=True)
class SequenceConfig(InputSettings):
    """A sequence of symbols, or of numbers, (B, length), all there from the first tick on."""

    kind: Literal["sequence"] = "sequence"
    length: Annotated[int, Bound(1, MAX_LENGTH, too_high="every symbol is a token")] = 64
    """Symbols or numbers in a sequence."""
    alphabet: tuple[float, ...] = ()
    """The numbers that the symbols are written as, (-1, 1) for bits; empty: any numbers, taken as they are."""

    @property
    def reading(self) -> str:
        """``numbers`` where there is no alphabet."""
        return self.kind if self.alphabet else "numbers"

    @property
    def extent(self) -> int:
        """Its length."""
        return self.length

    def __post_init__(self) -> None:
        super().__post_init__()
        check(
            len(set(self.alphabet)) == len(self.alphabet) != 1 and all(map(math.isfinite, self.alphabet)),
            f"input.alphabet must hold no number, or two or more different finite ones, got {self.alphabet}",
        )


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig(InputSettings):
    """Digits shown one after the other, then a question about them, then nothing while the model answers.

    A question is an index, then pairs of an operator and an index. ``core.ticks`` are the ticks of the answer.
    """

    kind: Literal["schedule"] = "schedule"
    channels: int = 1
    """Colour channels of a digit."""
    size: Pixels = 32
    """Height and width of a digit in pixels."""
    mean: tuple[float, ...] = (0.1307,)
    """Mean of each channel over the training images, pixels in [0, 1]."""
    std: tuple[float, ...] = (0.3081,)
    """Standard deviation of each channel over the training images, pixels in [0, 1]."""
    digits: tuple[int, int] = (1, 4)
    """Fewest and most digits that are shown."""
    operations: tuple[int, int] = (1, 4)
    """Fewest and most operations of a question."""
    ticks_per_digit: Count = 10
    """Ticks for which each digit is shown."""
    ticks_per_part: Count = 10
    """Ticks for which each index and each operator of the question is shown."""

    @property
    def extent(self) -> int:
        """Height and width in pixels."""
        return self.size

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_pixels(self.mean, self.std, self.channels)
        for name, (fewest, most) in (("digits", self.digits), ("operations", self.operations)):
            check(
                1 <= fewest <= most <= MAX_PARTS,
                f"input.{name} must lie in 1 to {MAX_PARTS}, the fewest first, got {fewest} to {most}",
            )


@dataclass(frozen=True, kw_only=True)
class SeriesConfig(InputSettings):
    """A series: numbers at each of so many time steps, (B, length, size), and an answer after each of them."""

    kind: Literal["series"] = "series"
    length: Annotated[int, Bound(1, MAX_LENGTH, too_high="every step is thought about")] = 22
    """Time steps."""
    size: Count = 3
    """Numbers of a step."""

    @property
    def reading(self) -> str:
        """Numbers drive the neurons as they are."""
        return "numbers"

    @property
    def extent(self) -> int:
        """Its length."""
        return self.length


@dataclass(frozen=True, kw_only=True)
class VectorConfig(InputSettings):
    """What an agent observes at one step of its environment: numbers, (B, size)."""

    kind: Literal["vector"] = "vector"
    size: Count = 4
    """Numbers of an observation."""

    @property
    def extent(self) -> int:
        """How many numbers there are."""
        return self.size


VIEW = 7  # places a side that an agent of MiniGrid sees
VIEW_KINDS = (11, 6, 3)  # objects, colours and states there


@dataclass(frozen=True, kw_only=True)
class PlacesConfig(InputSettings):
    """What an agent of MiniGrid sees: object, colour and state at 7 x 7 places, (B, 7, 7, 3) whole numbers."""

    kind: Literal["places"] = "places"

    @property
    def extent(self) -> int:
        """Places a side."""
        return VIEW


@dataclass(frozen=True, kw_only=True)
class OutputConfig(Section):
    """What the model answers: logits (B, C, *S, T) of C classes at S positions after each of T ticks."""

    section: ClassVar = "output"

    classes: Annotated[int, Bound(2)] = 10
    """Number of classes C."""
    positions: tuple[Count, ...] = ()
    """Shape S of an answer of several positions, (64,) for 64 bits; empty: a single class."""
    emitted: Whole = 0
    """Symbols that are emitted one by one over the ticks, the last class being a blank, in place of an answer that is
    there after each tick (connectionist temporal classification); 0: none."""
    labels: tuple[str, ...] = ()
    """Names of the classes; empty: they are called by number."""
    critic: Whole = 0
    """Of an agent, whose classes are actions: hidden units of its actor and of its critic; 0: no agent."""
    critic_norm: bool = False
    """LayerNorm in front of both."""

    @property
    def values(self) -> int:
        """Logits of one tick, C |S|."""
        return self.classes * math.prod(self.positions)

    def label(self, index: int) -> str:
        """Return the name of a class."""
        return self.labels[index] if self.labels else str(index)

    def __post_init__(self) -> None:
        super().__post_init__()
        check(
            self.emitted == 0 or not self.positions,
            f"output.positions must be empty with output.emitted = {self.emitted}, got {self.positions}",
        )
        check(
            len(self.labels) in (0, self.classes),
            f"output.labels must have {self.classes} names (one per class) or none, got {len(self.labels)}",
        )


@dataclass(frozen=True, kw_only=True)
class BackboneSettings(Section):
    """What every backbone's settings have, those of an extension too."""

    section: ClassVar = "backbone"
    reads: ClassVar[tuple[str, ...]] = ()
    """Kinds of input that it reads; empty: any."""
    drives: ClassVar[bool] = False
    """Whether what it gives drives the neurons as it is, and is no tokens to attend to."""

    kind: str
    """Which backbone: hrf, deep_hrf, resnet18, resnet_trunk, convolutions, symbols, questions, vectors, view or
    none."""

    @property
    @abstractmethod
    def features(self) -> int:
        """Channels of a token, d_kv."""


@dataclass(frozen=True, kw_only=True)
class HRFConfig(BackboneSettings):
    """Shallow hierarchical receptive field (equations §6)."""

    reads: ClassVar = ("image",)

    kind: Literal["hrf"] = "hrf"
    width: Count = 32
    """Channels of the stem and of each expansion convolution."""
    branch_width: Count = 16
    """Channels of each of the four center-surround branches."""
    features: Count = 128
    """Channels of a token, d_kv."""
    grid: Grid = 8
    """The tokens form a grid of this many rows and columns."""
    init: CenterSurroundInit = "learned"
    """Start of the center-surround kernels: `learned` (random) or `difference_of_gaussians`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_positions(self.features)


@dataclass(frozen=True, kw_only=True)
class DeepHRFConfig(BackboneSettings):
    """Deep hierarchical receptive field, for photos of 224 pixels (equations §6)."""

    reads: ClassVar = ("image",)

    kind: Literal["deep_hrf"] = "deep_hrf"
    width: Count = 64
    """Channels of stage zero and stage one; the next stages have two, four and eight times as many."""
    blocks: Count = 2
    """Basic residual blocks per stage."""
    grid: Grid = 14
    """The tokens form a grid of this many rows and columns."""
    init: CenterSurroundInit = "learned"
    """Start of the center-surround kernels: `learned` (random) or `difference_of_gaussians`."""

    @property
    def features(self) -> int:
        """Channels of a token, d_kv: those of the last stage."""
        return 8 * self.width


@dataclass(frozen=True, kw_only=True)
class ResNetConfig(BackboneSettings):
    """ResNet-18 for small images, the third backbone of the paper's appendix (equations §6)."""

    reads: ClassVar = ("image",)

    kind: Literal["resnet18"] = "resnet18"
    features: Count = 128
    """Channels of a token, d_kv: a 1 x 1 convolution maps the last stage's 512 channels to it."""
    grid: Grid = 8
    """The tokens form a grid of this many rows and columns."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_positions(self.features)


@dataclass(frozen=True, kw_only=True)
class ResNetTrunkConfig(BackboneSettings):
    """The first stages of a ResNet with a stem of 1 x 1, 3 x 3 and max-pooling: the reference CTM's for mazes.

    Its tokens are places of the last stage's map, without positions: any size of image gives as many as it has room
    for, 10 x 10 of 39 pixels after two stages.
    """

    reads: ClassVar = ("image",)

    kind: Literal["resnet_trunk"] = "resnet_trunk"
    depth: int = 34
    """The network whose stages they are: 18 or 34."""
    stages: Annotated[int, Bound(1, 4)] = 2
    """How many of its four stages are kept; they are 64, 128, 256 and 512 channels wide."""

    @property
    def features(self) -> int:
        """Channels of a token, d_kv: those of the last stage."""
        return int(64 * 2 ** (self.stages - 1))

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.depth in (18, 34), f"backbone.depth must be 18 or 34, got {self.depth}")


@dataclass(frozen=True, kw_only=True)
class ConvolutionsConfig(BackboneSettings):
    """A few 3 x 3 convolutions for small images, the last of stride 2; 9 pixels give 5 x 5 tokens."""

    reads: ClassVar = ("image",)

    kind: Literal["convolutions"] = "convolutions"
    features: Count = 64
    """Channels of every convolution and of a token, d_kv."""
    layers: Count = 3
    """How many convolutions, each with BatchNorm and ReLU."""
    positions: bool = True
    """Whether fixed sinusoidal positions are added to the tokens."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.positions:
            _check_positions(self.features)


@dataclass(frozen=True, kw_only=True)
class FeatureMapConfig(BackboneSettings):
    """No backbone: the model's input is a feature map (B, features, H, W), each place a token."""

    reads: ClassVar = ("image", "numbers")

    kind: Literal["none"] = "none"
    features: Count = 128
    """Channels of the feature map, d_kv."""


@dataclass(frozen=True, kw_only=True)
class SymbolsConfig(BackboneSettings):
    """Each symbol of a sequence as a token: a learned embedding and its position."""

    reads: ClassVar = ("sequence",)

    kind: Literal["symbols"] = "symbols"
    features: Count = 512
    """Channels of a token, d_kv."""
    positions: SequencePositions = "rotational"
    """How a token says where it is: `rotational` (half a turn along the sequence, learned map), `sinusoidal` (fixed) or
    `learned`, an embedding of each place, for cells of a grid."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(
            self.positions != "sinusoidal" or self.features % 2 == 0,
            f"backbone.features must be even for sinusoidal positions, got {self.features}",
        )


@dataclass(frozen=True, kw_only=True)
class QuestionsConfig(BackboneSettings):
    """Digits as tokens, places and operators of a question as drives (the reference CTM's for QAMNIST)."""

    reads: ClassVar = ("schedule",)

    kind: Literal["questions"] = "questions"
    features: Count = 64
    """Channels of a token and width of a drive, d_kv."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.features % 2 == 0, f"backbone.features must be even for sinusoidal places, got {self.features}")


@dataclass(frozen=True, kw_only=True)
class VectorsConfig(BackboneSettings):
    """Two gated blocks that turn the numbers of an observation into a drive."""

    reads: ClassVar = ("vector",)
    drives: ClassVar = True

    kind: Literal["vectors"] = "vectors"
    features: Count = 128
    """Width of the drive."""


@dataclass(frozen=True, kw_only=True)
class ViewConfig(BackboneSettings):
    """What stands at each place of a view, embedded, through two gated blocks: tokens, or one long drive."""

    reads: ClassVar = ("places",)

    kind: Literal["view"] = "view"
    width: Count = 128
    """Channels of a place."""
    flat: bool = False
    """Whether all places drive the neurons one behind the other, in place of tokens to attend to."""

    @property
    def drives(self) -> bool:  # type: ignore[override]
        """Whether there is nothing to attend to."""
        return self.flat

    @property
    def features(self) -> int:
        """Channels of a token, or of the drive."""
        return self.width * (VIEW**2 if self.flat else 1)


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Section):
    """Everything that determines a model: with the seed, its weights and pair indices too."""

    seed: Annotated[int, Bound(0, 2**63 - 1)] = 42
    """Seed of the weights and the pair indices (and, in training, of data order, augmentation and dropout)."""
    input: InputSettings = field(default_factory=ImageConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    backbone: BackboneSettings = field(default_factory=HRFConfig)
    core: CoreSettings = field(default_factory=CoreConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        reading, core, backbone = self.input.reading, self.core, self.backbone
        # A backbone of an extension makes tokens of whatever it is given.
        numbers = (reading == "numbers" or backbone.drives) and bool(backbone.reads)
        heads = core.heads_setting
        rule = ("0" if numbers else "above 0") if heads.endswith("heads") else str(not numbers)
        check(
            numbers != core.attends,
            f"{heads} must be {rule} with input {reading}; attention reads tokens, and only numbers drive the "
            "neurons as they are",
        )
        check(
            reading in backbone.reads or not backbone.reads,
            f"backbone.kind must be one that reads {reading}, got {backbone.kind}, which reads "
            f"{' and '.join(backbone.reads)}",
        )
        if numbers and isinstance(self.input, SequenceConfig):
            check(
                backbone.features == self.input.length,
                f"backbone.features must be input.length = {self.input.length} for numbers, got {backbone.features}",
            )
        if isinstance(self.input, SeriesConfig):
            check(
                backbone.features == self.input.size,
                f"backbone.features must be input.size = {self.input.size} for a series, got {backbone.features}",
            )
            check(
                self.output.positions == (self.input.length,) and not self.output.emitted,
                f"output.positions must be ({self.input.length},), an answer at each time step, got "
                f"{self.output.positions}",
            )
        if isinstance(self.input, ScheduleConfig) and core.drive_width is not None:
            check(
                backbone.features == core.drive_width,
                f"backbone.features must be {core.drive_width}, as wide as the attention, got {backbone.features}; "
                "questions take the place of what is read",
            )

    @property
    def images(self) -> ImageConfig:
        """The images that the model takes; raises :class:`~tide.errors.ConfigError` where it takes something else."""
        if not isinstance(self.input, ImageConfig):
            raise ConfigError(f"this needs a model of images, got one that takes a {self.input.kind}")
        return self.input

    @property
    def head_outputs(self) -> int:
        """Logits that the head gives at a tick: of a series those of one time step."""
        return self.output.classes if isinstance(self.input, SeriesConfig) else self.output.values

    @property
    def is_grid(self) -> bool:
        """Whether a sequence is the cells of a square to be filled with numbers, whose side is that of the answer."""
        settings, output = self.input, self.output
        return (
            isinstance(settings, SequenceConfig)
            and output.positions == (settings.length,)
            and output.classes**2 == settings.length
            and len(settings.alphabet) == output.classes + 1
        )

    @property
    def classifies_images(self) -> bool:
        """Whether an image goes in and one class comes out, as of every task that a program does not draw."""
        return isinstance(self.input, ImageConfig) and not self.output.positions


def _check_positions(features: int) -> None:
    check(features % 4 == 0, f"backbone.features must be a multiple of 4 for 2-D sinusoidal positions, got {features}")


def _check_pixels(mean: tuple[float, ...], std: tuple[float, ...], channels: int) -> None:
    check(channels in (1, 3), f"input.channels must be 1 (grey) or 3 (RGB), got {channels}")
    for name, values in (("mean", mean), ("std", std)):
        check(len(values) == channels, f"input.{name} must have {channels} values (one per channel), got {len(values)}")
        check(all(map(math.isfinite, values)), f"input.{name} must be finite, got {values}")
    check(all(s > 0 for s in std), f"input.std must be above 0, got {std}")


declare(
    "input",
    dict.fromkeys(
        (ImageConfig, SequenceConfig, ScheduleConfig, SeriesConfig, VectorConfig, PlacesConfig), "tide.models.inputs"
    ),
    InputSettings,
)
declare(
    "backbone",
    dict.fromkeys(
        (HRFConfig, DeepHRFConfig, ResNetConfig, ResNetTrunkConfig, ConvolutionsConfig, FeatureMapConfig),
        "tide.backbones.images",
    )
    | dict.fromkeys((SymbolsConfig, QuestionsConfig), "tide.backbones.sequences")
    | dict.fromkeys((VectorsConfig, ViewConfig), "tide.backbones.observations"),
    BackboneSettings,
)

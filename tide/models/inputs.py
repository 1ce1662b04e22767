"""Kinds of input: images, sequences, digits with a question. Each is checked, made up, read from text and prepared."""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn import functional

from tide.config import (
    FeatureMapConfig,
    ImageConfig,
    ModelConfig,
    PlacesConfig,
    ScheduleConfig,
    SequenceConfig,
    SeriesConfig,
    VectorConfig,
    register,
)
from tide.config.base import builder
from tide.config.model import MAX_PARTS, VIEW, VIEW_KINDS
from tide.device import captured
from tide.errors import InputError
from tide.models.heads import arranged
from tide.nn.eyes import adapt, retina

BRIGHTEST = 2.0  # a float pixel above is on the scale 0 to 255; what augmentation overshoots is below
FEATURE_MAP = 8  # rows and columns assumed of a feature map
MIN_SIZE = 8  # pixels; a smaller image has no room for the convolutions
MIN_DIGIT_SIZE = 4  # pixels: the digits' backbone halves twice
PLUS, MINUS = -1, -2
"""How a question writes its operators, as in the reference; indices of digits are 0 or more."""
OPERATORS = {PLUS: "+", MINUS: "-"}

Photo = Callable[[Path, int, int, float], Tensor]
"""Read a photo: path, size in pixels, channels, share of the shorter side; (channels, size, size) float in [0, 1]."""


class Questions(NamedTuple):
    """Digits (B, N, channels, size, size), float in [0, 1], and questions (B, Q) int64 about them.

    A question is an index, then operator and index in turns; see :data:`OPERATORS`.
    """

    digits: Tensor
    question: Tensor


Inputs = Tensor | Questions
S = TypeVar("S")


class Part(NamedTuple):
    """What the cell reads, see :meth:`tide.models.cell.Cell.set_input`, and for how many ticks before something else.

    The last is for the ticks of the answer; the first is never nothing.
    """

    content: Tensor | None
    ticks: int


def can_read(values: Tensor) -> bool:
    """Whether values can be looked at: not while a graph is made of operations, or where there are none."""
    return not (captured() or values.is_meta or isinstance(values, FakeTensor))


def check_place(inputs: Any, device: torch.device) -> None:
    """Raise :class:`InputError` where a tensor is sparse, or elsewhere than the model."""
    for tensor in (inputs,) if isinstance(inputs, Tensor) else inputs if isinstance(inputs, tuple) else ():
        if isinstance(tensor, Tensor) and tensor.layout != torch.strided:
            layout = str(tensor.layout).removeprefix("torch.")
            raise InputError(f"the input must be a dense tensor, got {layout}; call to_dense() on it")
        if isinstance(tensor, Tensor) and tensor.device != device:
            raise InputError(f"the input must be on {device} as the model is, got {tensor.device}; move one of them")


class InputKind(ABC, Generic[S]):
    """One kind of input for one model. Registered for its settings: ``@tide.register("input", MySettings)``."""

    samples: ClassVar[str]
    """What several of them are called."""
    takes: ClassVar[str]
    """How they are written in Python, with their shape."""
    in_parts: ClassVar[bool] = False
    """Whether the input is shown part by part before the answer."""
    answers_in_parts: ClassVar[bool] = False
    """Whether there is an answer to each part."""

    def __init__(self, config: ModelConfig) -> None:
        self.config = config
        self.settings = cast(S, config.input)

    @abstractmethod
    def check(self, inputs: Any) -> None:
        """Raise :class:`~tide.errors.InputError` unless ``inputs`` are what the model takes."""

    @abstractmethod
    def example(self, batch: int = 1) -> Inputs:
        """Return ``batch`` inputs that the model takes, of zeros or the first symbol."""

    @abstractmethod
    def read(self, texts: Sequence[str], question: str | None, photo: Photo) -> list[tuple[str, Inputs]]:
        """Return each input with its name, from what a user wrote; raises InputError."""

    def fit(self, inputs: Any) -> Any:
        """Return inputs as the model was made for them, with a warning where they are something else."""
        return inputs

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation by which the model normalises, one for each channel."""
        return (0.0,), (1.0,)

    def normalise(self, inputs: Any, mean: Tensor, std: Tensor) -> Any:
        """Return inputs as the backbone takes them; ``mean`` and ``std`` are (1, channels, 1, 1)."""
        return inputs.to(mean.dtype)

    def parts(self, backbone: nn.Module, inputs: Any) -> list[Part]:
        """Return what normalised inputs show the cell, one after the other; the last for all ticks of the answer."""
        return [Part(backbone(inputs), 0)]

    def answers_from(self, inputs: Any) -> int:
        """Return the first tick (from 0) that counts as an answer: that after everything has been shown."""
        return 0

    def arranged(self, values: Tensor) -> Tensor:
        """Return logits (B, C, *S, T) from those that the head gave at every tick, (B, outputs, ticks)."""
        return arranged(values, self.config.output)

    def _no_question(self, question: str | None) -> None:
        if question is not None:
            kind = self.config.input.kind
            raise InputError(f"--question must be left out, got {question!r}; the model takes a {kind}")


@register("input", ImageConfig)
class Images(InputKind[ImageConfig]):
    """Images (B, channels, H, W), float in [0, 1]; without a backbone a feature map (B, features, H, W) as it is."""

    samples = "images"
    takes = "images: (B, channels, H, W), float in [0, 1]"

    @property
    def _bare(self) -> bool:
        return isinstance(self.config.backbone, FeatureMapConfig)

    def check(self, inputs: Any) -> None:
        """With a backbone 8 x 8 pixels or more, without one any size."""
        if not isinstance(inputs, Tensor):
            raise InputError(f"images must be a torch.Tensor, got a {type(inputs).__name__}; torch.as_tensor(images)")
        if not inputs.is_floating_point():
            raise InputError(f"images must be float in [0, 1], got {inputs.dtype}; images.float() / 255")
        channels, min_size = self.settings.channels, MIN_SIZE
        kind = "grey images" if channels == 1 else "RGB images"
        if self._bare:
            channels, kind, min_size = self.config.backbone.features, "feature maps: it has no backbone", 1
        if inputs.dim() != 4 or inputs.shape[1] != channels:
            raise InputError(
                f"images must have shape (B, {channels}, H, W), got {tuple(inputs.shape)}; this model takes {kind}"
            )
        if min(inputs.shape[2:]) < min_size:
            height, width = inputs.shape[2:]
            raise InputError(
                f"images must have {min_size}x{min_size} pixels or more, got {height}x{width}; enlarge them"
            )
        if inputs.shape[0] == 0:
            raise InputError("the batch must hold at least 1 image, got 0")
        # Reading the answer back would break a compiled graph, where the check is left to the caller; torch's meta
        # device has no values.
        if not can_read(inputs):
            return
        low, high = torch.stack(inputs.detach().aminmax()).tolist()  # one read-back
        if not (math.isfinite(low) and math.isfinite(high)):
            raise InputError("images must have finite pixels, got NaN or infinity; clean the data")
        if self._bare:
            return
        if high > BRIGHTEST:
            warnings.warn(f"pixels should lie in [0, 1], got up to {high:g}; images / 255", stacklevel=5)
        if self._of_another_size(inputs):
            warnings.warn(f"{self._sizes(inputs)}; bring them to that size, on others it errs", stacklevel=5)

    def fit(self, inputs: Any) -> Any:
        """Scale images to the model's size, bilinearly with antialiasing; what is no batch of images stays."""
        if self._bare or not isinstance(inputs, Tensor) or inputs.dim() != 4 or not inputs.is_floating_point():
            return inputs
        if not self._of_another_size(inputs) or 0 in inputs.shape or min(inputs.shape[2:]) < MIN_SIZE:
            return inputs
        warnings.warn(f"{self._sizes(inputs)}; they are scaled to that", stacklevel=5)
        size = (self.settings.size, self.settings.size)
        return functional.interpolate(inputs, size, mode="bilinear", antialias=True, align_corners=False)

    def example(self, batch: int = 1) -> Tensor:
        """Return black images, or feature maps of zeros."""
        if self._bare:
            return torch.zeros(batch, self.config.backbone.features, FEATURE_MAP, FEATURE_MAP)
        return torch.zeros(batch, self.settings.channels, self.settings.size, self.settings.size)

    def read(self, texts: Sequence[str], question: str | None, photo: Photo) -> list[tuple[str, Inputs]]:
        """Read photos by their paths."""
        self._no_question(question)
        size, channels, crop = self.settings.size, self.settings.channels, self.settings.crop
        return [(text, photo(Path(text), size, channels, crop)[None]) for text in texts]

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Those of the training images; a feature map comes as it is."""
        return super().statistics() if self._bare else self.settings.statistics

    def normalise(self, inputs: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        """Subtract the mean, divide by the deviation, of the training images or of each by itself; then the retina."""
        images = inputs.to(mean.dtype)
        if self._bare:
            return (images - mean) / std
        by, cells = self.settings.normalise, self.settings.retina
        images = (images - mean) / std if by == "data" else adapt(images, by_channel=by == "channel")
        return retina(images, cells.center, cells.surround, cells.floor) if cells.enabled else images

    def _of_another_size(self, images: Tensor) -> bool:
        return tuple(images.shape[2:]) != (self.settings.size, self.settings.size)

    def _sizes(self, images: Tensor) -> str:
        height, width = images.shape[2:]
        return f"images are {height}x{width} pixels, the model was made for {self.settings.size}x{self.settings.size}"


@register("input", SequenceConfig)
class Sequences(InputKind[SequenceConfig]):
    """Sequences (B, length) of symbols or of numbers, float."""

    samples = "samples"
    takes = "sequences: (B, length), float"

    def check(self, inputs: Any) -> None:
        """They must be finite and of the alphabet."""
        settings = self.settings
        if not isinstance(inputs, Tensor):
            raise InputError(
                f"sequences must be a torch.Tensor, got a {type(inputs).__name__}; torch.as_tensor(values)"
            )
        if not inputs.is_floating_point():
            raise InputError(f"sequences must be float, got {inputs.dtype}; values.float()")
        if inputs.dim() != 2 or inputs.shape[1] != settings.length:
            raise InputError(
                f"sequences must have shape (B, {settings.length}), got {tuple(inputs.shape)}; the model was made for "
                "this length"
            )
        if inputs.shape[0] == 0:
            raise InputError("the batch must hold at least 1 sequence, got 0")
        if not can_read(inputs):
            return
        if not bool(inputs.isfinite().all()):
            raise InputError("sequences must be finite, got NaN or infinity; clean the data")
        if settings.alphabet:
            # Data-dependent reads return True on tensors without values, so all must be well when this is true.
            valid = torch.isin(inputs, inputs.new_tensor(settings.alphabet))
            if not bool(valid.all()):
                symbols = ", ".join(f"{symbol:g}" for symbol in settings.alphabet)
                raise InputError(f"a symbol must be one of {symbols}, got {float(inputs[~valid][0]):g}")

    def example(self, batch: int = 1) -> Tensor:
        """Return sequences of the first symbol, or of zeros."""
        first = self.settings.alphabet[0] if self.settings.alphabet else 0.0
        return torch.full((batch, self.settings.length), first)

    def read(self, texts: Sequence[str], question: str | None, photo: Photo) -> list[tuple[str, Inputs]]:
        """Read sequences as they are written: symbols without space, numbers with commas.

        ``0110``: the first symbol of the alphabet as 1, the second as 0; of bits written as -1 and 1, the -1 counts.
        """
        self._no_question(question)
        return [(text, self.parse(text)) for text in texts]

    def parse(self, text: str) -> Tensor:
        """Return one sequence (1, length) from its text."""
        settings = self.settings
        if not settings.alphabet:
            try:
                numbers = [float(number) for number in text.split(",")]
            except ValueError:
                raise InputError(f"the sequence must be numbers like 0.3,-1.2,0.7, got {text!r}") from None
            if len(set(numbers)) < len(numbers):
                raise InputError(f"the numbers must be different, got {text!r}; equal ones have no one order")
            return torch.tensor([numbers])
        symbols = {str(int(number)): number for number in settings.alphabet if number in range(10)}
        if len(settings.alphabet) == 2:
            symbols = dict(zip("10", settings.alphabet, strict=True))
        other = next((letter for letter in text if letter not in symbols), None)
        if other is not None:
            known = " and ".join(sorted(symbols)) if len(symbols) < 3 else f"{min(symbols)} to {max(symbols)}"
            raise InputError(
                f"the sequence must be {settings.length} of {known} without spaces, got {text!r} with {other!r}"
            )
        return torch.tensor([[symbols[letter] for letter in text]])


@register("input", SeriesConfig)
class Series(InputKind[SeriesConfig]):
    """Series (B, length, size), float: each time step drives the neurons for all ticks, and has an answer.

    Logits are (B, C, length, T): the ticks of each time step.
    """

    samples = "series"
    takes = "series: (B, length, size), float"
    in_parts = True
    answers_in_parts = True

    def check(self, inputs: Any) -> None:
        """As long and as wide as the settings say, all finite."""
        wanted = (self.settings.length, self.settings.size)
        if not isinstance(inputs, Tensor) or inputs.dim() != 3 or tuple(inputs.shape[1:]) != wanted:
            shape = tuple(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__
            swapped = isinstance(inputs, Tensor) and inputs.dim() == 3 and (inputs.shape[0], inputs.shape[2]) == wanted
            hint = "; are batch and time swapped?" if swapped else ""
            raise InputError(f"series must have shape (B, {wanted[0]}, {wanted[1]}), got {shape}{hint}")
        if can_read(inputs) and not bool(inputs.isfinite().all()):
            raise InputError("series must be finite, got NaN or infinity; clean the data")

    def example(self, batch: int = 1) -> Tensor:
        """Return zeros."""
        return torch.zeros(batch, self.settings.length, self.settings.size)

    def parts(self, backbone: nn.Module, inputs: Any) -> list[Part]:
        """Return a part for each time step."""
        ticks, last = self.config.core.ticks, self.settings.length - 1
        return [Part(backbone(step), ticks if number < last else 0) for number, step in enumerate(inputs.unbind(1))]

    def arranged(self, values: Tensor) -> Tensor:
        """Return logits (B, C, length, T); the last time step may have more ticks than were configured: cut."""
        length, ticks = self.settings.length, self.config.core.ticks
        return values[..., : length * ticks].reshape(*values.shape[:-1], length, ticks)

    def read(self, texts: Sequence[str], question: str | None, photo: Photo) -> list[tuple[str, Inputs]]:
        """Refuse: a series is no text."""
        raise InputError(f"the model takes series of numbers, got {texts[0]!r}; give a tensor to model.predict")


class _Observations(InputKind[S]):
    """What an agent observes; it is read from an environment and not from a command line."""

    samples = "observations"

    def read(self, texts: Sequence[str], question: str | None, photo: Photo) -> list[tuple[str, Inputs]]:
        """Refuse: an agent acts in an environment."""
        raise InputError(f"the model acts in an environment, got {texts[0]!r} to answer; `tide eval RUN` lets it act")


@register("input", VectorConfig)
class Vectors(_Observations[VectorConfig]):
    """Numbers of an observation, (B, size), float."""

    takes = "observations: (B, size), float"

    def check(self, inputs: Any) -> None:
        """As many numbers as the settings say, all finite."""
        size = self.settings.size
        if not isinstance(inputs, Tensor) or inputs.dim() != 2 or inputs.shape[1] != size:
            shape = tuple(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__
            raise InputError(f"observations must have shape (B, {size}), got {shape}")
        if can_read(inputs) and not bool(inputs.isfinite().all()):
            raise InputError("observations must be finite, got NaN or infinity")

    def example(self, batch: int = 1) -> Tensor:
        """Return zeros."""
        return torch.zeros(batch, self.settings.size)


@register("input", PlacesConfig)
class Places(_Observations[PlacesConfig]):
    """What stands at the places of a view, (B, 7, 7, 3): object, colour and state as whole numbers."""

    takes = "observations: (B, 7, 7, 3), whole numbers"

    def check(self, inputs: Any) -> None:
        """Whole numbers that are known."""
        if not isinstance(inputs, Tensor) or inputs.dim() != 4 or tuple(inputs.shape[1:]) != (VIEW, VIEW, 3):
            shape = tuple(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__
            raise InputError(f"observations must have shape (B, {VIEW}, {VIEW}, 3), got {shape}")
        if not can_read(inputs):
            return
        kinds = torch.tensor(VIEW_KINDS, device=inputs.device)
        if not bool(((inputs >= 0) & (inputs < kinds)).all()):
            raise InputError(f"objects, colours and states must be below {VIEW_KINDS}, got {int(inputs.max())}")

    def example(self, batch: int = 1) -> Tensor:
        """Return zeros: nothing is seen."""
        return torch.zeros(batch, VIEW, VIEW, 3)

    def normalise(self, inputs: Any, mean: Tensor, std: Tensor) -> Any:
        """Return them as whole numbers."""
        return inputs.long()


@register("input", ScheduleConfig)
class Schedules(InputKind[ScheduleConfig]):
    """:class:`Questions`: digits shown one after the other, then a question about them (QAMNIST, arXiv:2505.05522)."""

    samples = "samples"
    takes = "questions: tide.models.inputs.Questions"
    in_parts = True

    def check(self, inputs: Any) -> None:
        """Digits must be as large as the settings say, a question must name digits that are shown."""
        if not isinstance(inputs, tuple) or len(inputs) != 2 or not all(isinstance(part, Tensor) for part in inputs):
            raise InputError(f"the input must be digits and questions, got a {type(inputs).__name__}; Questions(d, q)")
        digits, question = inputs
        settings = self.settings
        shape = (settings.channels, settings.size, settings.size)
        if digits.dim() != 5 or 0 in digits.shape or not digits.is_floating_point() or digits.shape[2] != shape[0]:
            raise InputError(f"digits must be float (B, N, {shape}), got {digits.dtype} of shape {tuple(digits.shape)}")
        if min(digits.shape[3:]) < MIN_DIGIT_SIZE:
            raise InputError(f"digits must have {MIN_DIGIT_SIZE} pixels or more each way, got {tuple(digits.shape)}")
        is_question = question.dim() == 2 and len(question) == len(digits) and question.shape[1] % 2 == 1
        if not is_question or question.is_floating_point():
            raise InputError(
                f"questions must be whole numbers (B, odd): an index, then operator and index in turns; got "
                f"{question.dtype} of shape {tuple(question.shape)}"
            )
        if not can_read(digits):
            return
        if tuple(digits.shape[2:]) != shape:
            height, width = digits.shape[3:]
            sizes = f"digits are {height}x{width} pixels, the model was made for {settings.size}x{settings.size}"
            warnings.warn(f"{sizes}; bring them to that size, on others it errs", stacklevel=5)
        if not bool(digits.isfinite().all()):
            raise InputError("digits must have finite pixels, got NaN or infinity; clean the data")
        indices, operators = question[:, ::2], question[:, 1::2]
        count = min(digits.shape[1], MAX_PARTS)
        if not bool(((indices >= 0) & (indices < count)).all()):
            place = int(indices.min() if indices.min() < 0 else indices.max())
            raise InputError(f"a question must name digits 0 to {count - 1}, as many as are shown, got {place}")
        valid = torch.isin(operators, operators.new_tensor(list(OPERATORS)))
        if operators.numel() and not bool(valid.all()):
            raise InputError(
                f"an operator of a question must be {PLUS} (+) or {MINUS} (-), got {int(operators[~valid][0])}"
            )

    def example(self, batch: int = 1) -> Questions:
        """Return as many black digits as there may be at most, and the longest question."""
        settings = self.settings
        digits = torch.zeros(batch, settings.digits[1], settings.channels, settings.size, settings.size)
        question = torch.tensor([0, *[PLUS, 0] * settings.operations[1]])
        return Questions(digits, question.repeat(batch, 1))

    def read(self, texts: Sequence[str], question: str | None, photo: Photo) -> list[tuple[str, Inputs]]:
        """Read all photos as the digits, in order, and the question about them, like ``0+1-0``."""
        if question is None:
            raise InputError("--question must ask about the digits, got none; --question 0+1-0 names them by place")
        digits = [photo(Path(text), self.settings.size, self.settings.channels, 1.0) for text in texts]
        return [(question, Questions(torch.stack(digits)[None], self.parse(question)[None]))]

    def parse(self, question: str) -> Tensor:
        """Return a question like ``0+1-0``, whose numbers are places of digits, as the model takes it."""
        signs = {sign: code for code, sign in OPERATORS.items()}
        spaced = "".join(f" {letter} " if letter in signs else letter for letter in question).split()
        parts = [signs.get(part, int(part) if part.isdecimal() and len(part) < 4 else None) for part in spaced]
        turns = all((part in signs) == (place % 2 == 1) for place, part in enumerate(spaced))
        if len(parts) % 2 == 0 or not turns:
            raise InputError(f"--question must be places and operators in turns, as 0+1-0, got {question!r}")
        if None in parts:
            raise InputError(f"--question must name places as whole numbers, as 0+1-0, got {question!r}")
        return torch.tensor(parts)

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Those of the training digits."""
        return self.settings.mean, self.settings.std

    def normalise(self, inputs: Questions, mean: Tensor, std: Tensor) -> Questions:
        """Normalise the digits."""
        return Questions((inputs.digits.to(mean.dtype) - mean) / std, inputs.question)

    def parts(self, backbone: nn.Module, inputs: Questions) -> list[Part]:
        """Show each digit, each part of the question, then nothing."""
        tokens, drives = backbone(*inputs)
        return [
            *(Part(digit, self.settings.ticks_per_digit) for digit in tokens),
            *(Part(drive, self.settings.ticks_per_part) for drive in drives),
            Part(None, 0),
        ]

    def answers_from(self, inputs: Questions) -> int:
        """Return for how many ticks something is shown."""
        digits, parts = inputs.digits.shape[1], inputs.question.shape[1]
        return digits * self.settings.ticks_per_digit + parts * self.settings.ticks_per_part


def input_kind(config: ModelConfig) -> InputKind[Any]:
    """Return the kind of input that a model takes."""
    kind: InputKind[Any] = builder("input", config.input)(config)
    return kind


def example(config: ModelConfig, batch: int = 1) -> Inputs:
    """Return ``batch`` inputs that the model takes, of zeros or the first symbol."""
    return input_kind(config).example(batch)


def described(config: ModelConfig) -> str:
    """Return the shape of an input in a few words."""
    return " x ".join(map(str, shape_of(example(config))))


def shape_of(inputs: Any) -> tuple[int, ...]:
    """Return the shape of one input of several; of a question, that of a digit."""
    return tuple(inputs[0].shape[2:] if isinstance(inputs, tuple) else inputs.shape[1:])


def to_float(inputs: Any) -> Any:
    """Return pixel values 0..255 (uint8, any shape) as float32 in 0..1; what are no pixels stays as it is."""
    return _each(inputs, lambda part: part.to(torch.float32).div_(255) if part.dtype == torch.uint8 else part)


def moved(inputs: Any, device: torch.device) -> Any:
    """Return inputs on a device."""
    return _each(inputs, lambda part: part.to(device))


def select(inputs: Any, index: Tensor | slice) -> Any:
    """Return the inputs of some samples."""
    return _each(inputs, lambda part: part[index])


def _each(inputs: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Apply a function to the one tensor of inputs, or to each of a NamedTuple's."""
    return type(inputs)(*map(function, inputs)) if isinstance(inputs, tuple) else function(inputs)

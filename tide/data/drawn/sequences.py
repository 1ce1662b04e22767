"""Tasks over sequences: parity, sorting (Darlow et al., arXiv:2505.05522), and questions over digits (QAMNIST there).

Parity: is the number of −1 up to each place even or odd? Sorting: in which order do these numbers rise? Questions:
digits are shown one after the other. Then a question names one of them by its place, and again and again an operator
and another one; after each operation the value is taken modulo 10. A digit may be named more than once, so that the
fewer there are, the likelier is 0 (one digit, one operation: 60 %): chance is more than 10 %.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from tide.config import ModelConfig, ScheduleConfig, SequenceConfig, register
from tide.data.drawn.sets import Draw, DrawnTask, check_answer, one_difficulty
from tide.data.named import load_named
from tide.data.sets import ImageSet, check_at_least
from tide.errors import ConfigError, DataError, check
from tide.models.inputs import MINUS, PLUS, Questions

BASE = 10


def draw_parity(count: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw sequences of ±1, each with probability ½.

    Returns:
        The sequences, float32, and their :func:`parities`, int64: each of shape (count, length), on the generator's
        device.

    Raises:
        DataError: ``count`` or ``length`` is below 1.
    """
    check_at_least(("count", count, 1), ("length", length, 1))
    bits = torch.randint(2, (count, length), generator=generator, device=generator.device)
    values = 2.0 * bits - 1.0
    return values, parities(values)


def parities(values: Tensor) -> Tensor:
    """Return 1 where the number of −1 up to a place is odd, 0 where it is even: (B, L) int64 from (B, L) of ±1."""
    return (values < 0).cumsum(1) % 2


def draw_sorting(count: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw standard normal numbers.

    Of two that are equal (in single precision 30 numbers hold two such once in some 10,000 lists) the first counts as
    the smaller.

    Returns:
        The numbers, float32, and the places of the smallest, the next, and so on, int64: each of shape
        (count, length), on the generator's device.

    Raises:
        DataError: ``count`` is below 1 or ``length`` below 2.
    """
    check_at_least(("count", count, 1), ("length", length, 2))
    numbers = torch.randn((count, length), generator=generator, device=generator.device)
    return numbers, numbers.argsort(dim=1, stable=True)


def rising(numbers: Tensor) -> Tensor:
    """Return the places of the smallest number, the next, and so on: (B, N) int64 from (B, N).

    Raises :class:`DataError` where two numbers of a list are equal or one is NaN: there is no single answer.
    """
    order = numbers.argsort(1)
    values = numbers.gather(1, order)
    tied = ~(values[:, :-1] < values[:, 1:])
    if bool(tied.any()):
        row, place = tied.nonzero()[0].tolist()
        first, second = (int(order[row, place + step]) for step in range(2))
        raise DataError(
            f"list {row} must hold different numbers, got {float(values[row, place]):g} at {min(first, second)} and "
            f"{float(values[row, place + 1]):g} at {max(first, second)}; they have no single order"
        )
    return order


def draw_questions(
    images: ImageSet, count: int, digits: tuple[int, int], operations: tuple[int, int], generator: torch.Generator
) -> tuple[Questions, Tensor]:
    """Draw questions over images of digits, all with the same number of digits and of operations.

    Args:
        images: digits labelled 0 to 9.
        count: how many questions, at least 1.
        digits: fewest and most digits shown; how many is drawn once for all questions.
        operations: fewest and most operations, drawn likewise.
        generator: source of the random numbers, on the CPU.

    Returns:
        Digits as uint8 and questions as the model takes them, and the answers (count,), int64.

    Raises:
        DataError: a number is out of range, or the images have other than ten classes.
    """
    check_at_least(("count", count, 1))
    digit_count = _between("digits", *digits, generator)
    operation_count = _between("operations", *operations, generator)
    if len(images.classes) != BASE:
        raise DataError(f"there must be {BASE} classes, got {len(images.classes)}; give images of the digits 0 to 9")
    chosen = torch.randint(len(images), (count, digit_count), generator=generator)
    parts = torch.empty(count, 1 + 2 * operation_count, dtype=torch.int64)
    parts[:, 0::2] = torch.randint(digit_count, (count, 1 + operation_count), generator=generator)
    parts[:, 1::2] = torch.where(torch.randint(2, (count, operation_count), generator=generator) == 0, PLUS, MINUS)
    answers = answer(images.labels.cpu()[chosen], parts)
    return Questions(images.images[chosen.to(images.images.device)], parts), answers


def answer(labels: Tensor, parts: Tensor) -> Tensor:
    """Return the answers (B,) to the questions ``parts`` (B, 1 + 2 k) over digits of the classes ``labels`` (B, n)."""
    # Modulo 10 after each operation or once at the end is the same.
    values = labels.gather(1, parts[:, 0::2])
    signs = torch.where(parts[:, 1::2] == PLUS, 1, -1)
    return (values[:, 0] + (signs * values[:, 1:]).sum(1)) % BASE


def _between(name: str, fewest: int, most: int, generator: torch.Generator) -> int:
    check_at_least((f"{name}[0]", fewest, 1), (f"{name}[1]", most, fewest))
    return int(torch.randint(fewest, most + 1, (1,), generator=generator))


def scaled(images: ImageSet, size: int) -> ImageSet:
    """Return square images at ``size`` x ``size`` pixels, scaled bilinearly with antialiasing."""
    if images.images.shape[2:] == (size, size):
        return images
    pixels = functional.interpolate(images.images, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return replace(images, images=pixels)


@register("task", "parity")
def _parity(model: ModelConfig, directory: Path | None) -> DrawnTask:
    length = _sequence(model).length
    check_answer(model, (length,), 2)
    return one_difficulty(lambda count, generator: draw_parity(count, length, generator))


@register("task", "sort")
def _sort(model: ModelConfig, directory: Path | None) -> DrawnTask:
    length = _sequence(model).length
    check(
        model.output.emitted == length and model.output.classes == length + 1,
        f"output.emitted must be {length} of {length + 1} classes, each number's place and a blank, got "
        f"{model.output.emitted} of {model.output.classes}",
    )
    return one_difficulty(lambda count, generator: draw_sorting(count, length, generator))


@register("task", "qamnist")
def _questions(model: ModelConfig, directory: Path | None) -> DrawnTask:
    settings = model.input
    if not isinstance(settings, ScheduleConfig):
        raise ConfigError(f"input.kind must be schedule, got {settings.kind}; questions are shown part by part")
    check_answer(model, (), 10)
    splits = load_named("mnist", directory)
    train, test = (scaled(part, settings.size) for part in (splits.train, splits.test) if isinstance(part, ImageSet))

    def draw_from(images: ImageSet, digits: tuple[int, int], operations: tuple[int, int]) -> Draw:
        return lambda count, generator: draw_questions(images, count, digits, operations, generator)

    difficulties = [
        (digits, operations)
        for digits in range(settings.digits[0], settings.digits[1] + 1)
        for operations in range(settings.operations[0], settings.operations[1] + 1)
    ]
    parts = tuple(draw_from(test, (digits, digits), (steps, steps)) for digits, steps in difficulties)
    return DrawnTask(draw_from(train, settings.digits, settings.operations), parts)


def _sequence(model: ModelConfig) -> SequenceConfig:
    if not isinstance(model.input, SequenceConfig):
        raise ConfigError(f"input.kind must be sequence, got {model.input.kind}; the task is one of sequences")
    return model.input

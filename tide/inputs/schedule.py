"""Digits shown one after the other and a question about them as the input of a model (QAMNIST, arXiv:2505.05522)."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from tide.config import ScheduleConfig
from tide.config.inputs import MOST_SHOWN
from tide.errors import InputError

SMALLEST = 4  # pixels: the digits' backbone halves twice
PLUS, MINUS = -1, -2
"""How a question writes its operators, as in the reference; indices of digits are 0 or more."""
OPERATORS = {PLUS: "+", MINUS: "-"}


class Questions(NamedTuple):
    """Digits (B, N, channels, size, size), float in [0, 1], and questions (B, Q) int64 about them.

    A question is an index, then operator and index in turns; see :data:`OPERATORS`.
    """

    digits: Tensor
    question: Tensor


def check(inputs: tuple[Tensor, Tensor], config: ScheduleConfig) -> None:
    """Raise :class:`InputError` unless these are digits and questions that the model takes."""
    if not isinstance(inputs, tuple) or len(inputs) != 2 or not all(isinstance(part, Tensor) for part in inputs):
        raise InputError(f"the input is a {type(inputs).__name__}, digits and questions are wanted: Questions(d, q)")
    digits, question = inputs
    wanted = (config.channels, config.size, config.size)
    if digits.dim() != 5 or 0 in digits.shape or not digits.is_floating_point() or digits.shape[2] != config.channels:
        raise InputError(f"digits are {digits.dtype} of shape {tuple(digits.shape)}, float (B, N, {wanted}) is wanted")
    if min(digits.shape[3:]) < SMALLEST:
        raise InputError(f"digits are of shape {tuple(digits.shape)}, {SMALLEST} pixels or more each way are wanted")
    if (
        question.dim() != 2
        or len(question) != len(digits)
        or question.shape[1] % 2 == 0
        or question.is_floating_point()
    ):
        raise InputError(
            f"questions are {question.dtype} of shape {tuple(question.shape)}, whole numbers (B, odd) are wanted: an "
            "index, then operator and index in turns"
        )
    if torch.compiler.is_compiling() or digits.is_meta or isinstance(digits, FakeTensor):
        return
    if tuple(digits.shape[2:]) != wanted:
        height, width = digits.shape[3:]
        told = f"digits are {height}x{width} pixels, the model was made for {config.size}x{config.size}"
        warnings.warn(f"{told}: bring them to that size, on others it errs", stacklevel=5)
    if not bool(digits.isfinite().all()):
        raise InputError("digits hold NaN or infinite pixels, finite ones are wanted: clean the data")
    indices, operators = question[:, ::2], question[:, 1::2]
    most = min(digits.shape[1], MOST_SHOWN)
    if not bool(((indices >= 0) & (indices < most)).all()):
        named = int(indices.min() if indices.min() < 0 else indices.max())
        raise InputError(f"a question names digit {named}, 0 to {most - 1} is wanted: so many are shown")
    if operators.numel() and not bool(torch.isin(operators, operators.new_tensor(list(OPERATORS))).all()):
        met = operators[~torch.isin(operators, operators.new_tensor(list(OPERATORS)))][0]
        raise InputError(f"an operator of a question is {int(met)}, {PLUS} (+) or {MINUS} (-) is wanted")


def from_frames(frames: Tensor, question: Tensor, config: ScheduleConfig) -> Questions:
    """Return digits and questions from what is shown tick by tick, as the reference implementation writes them.

    ``frames`` (B, N · ticks_per_digit, channels, H, W) repeat each digit, ``question`` (B, Q · ticks_per_part) each
    part. Raises :class:`InputError` where what is shown changes at another tick.
    """
    kept = []
    for name, shown, ticks in (
        ("frames", frames, config.ticks_per_digit),
        ("parts", question, config.ticks_per_part),
    ):
        if shown.dim() < 2 or shown.shape[1] % ticks:
            raise InputError(f"{name} have shape {tuple(shown.shape)}, (B, a multiple of {ticks}, ...) is wanted")
        each = shown.reshape(len(shown), -1, ticks, *shown.shape[2:])
        if not torch.equal(each, each[:, :, :1].expand_as(each)):
            raise InputError(f"{name} change at other ticks, every {ticks} is wanted: give each for {ticks} ticks")
        kept.append(each[:, :, 0])
    return Questions(*kept)


def example(config: ScheduleConfig, batch: int) -> Questions:
    """Return as many black digits as there may be at most, and the longest question."""
    digits = torch.zeros(batch, config.digits[1], config.channels, config.size, config.size)
    question = torch.tensor([0, *[PLUS, 0] * config.operations[1]])
    return Questions(digits, question.repeat(batch, 1))


def ticks_shown(inputs: Questions, config: ScheduleConfig) -> int:
    """Return for how many ticks something is shown, before the answer."""
    return inputs.digits.shape[1] * config.ticks_per_digit + inputs.question.shape[1] * config.ticks_per_part

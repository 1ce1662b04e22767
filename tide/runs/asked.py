"""What a user asks a model on the command line, as its input; and its answer in words."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import torch

from tide.config import ScheduleConfig, SequenceConfig
from tide.data import decode
from tide.data.drawn.mazes import shortest_route
from tide.errors import InputError
from tide.inputs import Inputs, Questions, to_float
from tide.inputs.schedule import OPERATORS
from tide.models.thinker import Thinker
from tide.runs.reopen import read_photo
from tide.types import Prediction


def read_asked(model: Thinker, texts: Sequence[str], question: str | None) -> list[tuple[str, Inputs]]:
    """Return each input with its name: photos by path, sequences as they are written, digits and their question.

    Symbols are written without space (``0110``, the first symbol of the alphabet as 1, the second as 0: of bits written
    as -1 and 1, the -1 counts), numbers with commas. A model of questions takes all photos as its digits, in order.
    Raises :class:`InputError`, and :class:`~tide.errors.DataError` for a file that is no photo.
    """
    settings = model.config.input
    if question is not None and not isinstance(settings, ScheduleConfig):
        raise InputError(f"--question is {question!r}, none is wanted: the model takes a {settings.kind}")
    if isinstance(settings, SequenceConfig):
        return [(text, _sequence(text, settings)) for text in texts]
    if not isinstance(settings, ScheduleConfig):
        return [(text, walkable(model, read_photo(model, Path(text)))) for text in texts]
    if question is None:
        raise InputError("--question is missing, one about the digits is wanted: --question 0+1-0 names them by place")
    digits = [_digit(Path(text), settings) for text in texts]
    return [(question, Questions(torch.stack(digits)[None], _parts(question)[None]))]


def read_sent(model: Thinker, content: bytes) -> Inputs:
    """Return what came over a wire as an input: the bytes of a photo, or a sequence as text; raises as above."""
    settings = model.config.input
    if isinstance(settings, SequenceConfig):
        return _sequence(content.decode("ascii", errors="replace").strip(), settings)
    wanted = model.config.images
    photo = to_float(decode(io.BytesIO(content), wanted.size, wanted.channels, crop=wanted.crop))
    return walkable(model, photo[None])


def walkable(model: Thinker, images: torch.Tensor) -> torch.Tensor:
    """Return images (B, 3, H, W) as they are; of a model of mazes, raise DataError where one has no way through."""
    for image in images if "end" in model.config.output.labels else ():
        shortest_route((255 * image).round().byte())
    return images


def told(model: Thinker, answer: Prediction) -> str:
    """Return the answer to one input in words."""
    output, label = model.config.output, answer.label[0]
    if output.emitted:
        return " ".join(str(int(place)) for place in label if place >= 0)
    if not output.positions:
        return output.label(int(label))
    names = [output.label(int(number)) for number in label.flatten()]
    if "end" in names:  # a route
        names = names[: names.index("end")]
    return " ".join(names)


def _sequence(text: str, settings: SequenceConfig) -> torch.Tensor:
    if not settings.alphabet:
        try:
            numbers = [float(number) for number in text.split(",")]
        except ValueError:
            raise InputError(f"{text!r} is no list of numbers, one like 0.3,-1.2,0.7 is wanted") from None
        if len(set(numbers)) < len(numbers):
            raise InputError(f"{text!r} holds a number twice, different ones are wanted: there is no one order")
        return torch.tensor([numbers])
    first, second = settings.alphabet[:2]
    symbols = {"1": first, "0": second} if len(settings.alphabet) == 2 else {}
    foreign = next((letter for letter in text if letter not in symbols), None)
    if foreign is not None:
        raise InputError(f"{text!r} holds {foreign!r}, 0 and 1 are wanted: {settings.length} of them without spaces")
    return torch.tensor([[symbols[letter] for letter in text]])


def _digit(path: Path, settings: ScheduleConfig) -> torch.Tensor:
    if not path.is_file():
        raise InputError(f"image {path} does not exist; give the path of a PNG or JPEG file")
    digit: torch.Tensor = to_float(decode(path, settings.size, settings.channels))
    return digit


def _parts(question: str) -> torch.Tensor:
    """Return a question like ``0+1-0``, whose numbers are places of digits, as the model takes it."""
    signs = {sign: code for code, sign in OPERATORS.items()}
    spaced = "".join(f" {letter} " if letter in signs else letter for letter in question).split()
    parts = [signs.get(part, int(part) if part.isdecimal() and len(part) < 4 else None) for part in spaced]
    if len(parts) % 2 == 0 or any((part in signs) != (place % 2 == 1) for place, part in enumerate(spaced)):
        raise InputError(f"--question is {question!r}, places and operators in turns are wanted: 0+1-0")
    if None in parts:
        raise InputError(f"--question is {question!r}, places as whole numbers are wanted: 0+1-0")
    return torch.tensor(parts)

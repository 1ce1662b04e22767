"""The tasks of the baselines' reference implementation: what its arguments say of a model's input and output."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tide.config import (
    BackboneConfig,
    FeatureMapConfig,
    ImageConfig,
    InputConfig,
    OutputConfig,
    QuestionsConfig,
    ResNetTrunkConfig,
    ScheduleConfig,
    SequenceConfig,
    SymbolsConfig,
)
from tide.errors import ConfigError, did_you_mean

Arguments = Mapping[str, Any]
TRUNKS = {f"resnet{depth}-{stages}": (depth, stages) for depth in (18, 34) for stages in range(1, 5)}
"""The reference's names of the first stages of a ResNet: its depth and how many."""


class Sections(NamedTuple):
    """The sections of a model's configuration but its core."""

    input: InputConfig
    output: OutputConfig
    backbone: BackboneConfig


class ReferenceTask(NamedTuple):
    """What a task makes of the arguments of the reference's constructor.

    ``fixed`` arguments have one value that is built here. ``further`` ones have to be given, beside those of every
    task; ``of_loss`` may be: they say how the loss is taken, and nothing of the model. ``ticks`` and ``heads`` name the
    arguments that give these; without ``heads`` the model has no attention.
    """

    sections: Callable[[Arguments], Sections]
    fixed: Arguments
    further: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    of_loss: tuple[str, ...] = ()
    ticks: str = "iterations"
    attends: bool = True


def task_of(arguments: Arguments, family: str) -> ReferenceTask:
    """Return the task that ``kind`` names, ``family`` alone or followed by it: ``ctm_parity``; raises ConfigError."""
    kind, kinds = (
        arguments.get("kind", family),
        {family if name == "image" else f"{family}_{name}": name for name in TASKS},
    )
    if kind not in list(kinds):
        raise ConfigError(f"kind is {kind!r}{did_you_mean(str(kind), kinds)}")
    return TASKS[kinds[kind]]


def _image(arguments: Arguments) -> Sections:
    """A feature map, ``d_input`` wide until weights say otherwise."""
    output = OutputConfig(classes=arguments["out_dims"])
    return Sections(ImageConfig(), output, FeatureMapConfig(features=arguments["d_input"]))


def _parity(arguments: Arguments) -> Sections:
    output = _positions(arguments)
    sequence = SequenceConfig(length=output.positions[0], alphabet=(-1.0, 1.0))
    return Sections(sequence, output, SymbolsConfig(features=arguments["d_input"]))


def _maze(arguments: Arguments) -> Sections:
    """Pixels in [0, 1], which the model brings to the reference's [−1, 1]; without a backbone a feature map."""
    output, name = _positions(arguments), arguments.get("backbone_type", "none")
    if name == "none":
        return _image(arguments)._replace(output=output)
    if name not in list(TRUNKS):
        raise ConfigError(f"backbone_type is {name!r}{did_you_mean(str(name), ('none', *TRUNKS))}")
    depth, stages = TRUNKS[name]
    images = ImageConfig(channels=3, size=39, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    return Sections(images, output, ResNetTrunkConfig(depth=depth, stages=stages))


def _sort(arguments: Arguments) -> Sections:
    numbers, symbols = arguments["d_input"], arguments["out_dims"]
    output = OutputConfig(classes=symbols, emitted=symbols - 1)
    return Sections(SequenceConfig(length=numbers), output, FeatureMapConfig(features=numbers))


def _questions(arguments: Arguments) -> Sections:
    """Digits come normalised, as the reference takes them."""
    schedule = ScheduleConfig(
        mean=(0.0,),
        std=(1.0,),
        ticks_per_digit=arguments["iterations_per_digit"],
        ticks_per_part=arguments["iterations_per_question_part"],
    )
    return Sections(
        schedule, OutputConfig(classes=arguments["out_dims"]), QuestionsConfig(features=arguments["d_input"])
    )


def _positions(arguments: Arguments) -> OutputConfig:
    """Answers of several positions, which the reshaper gives as [positions, classes]."""
    shape, total = arguments["prediction_reshaper"], arguments["out_dims"]
    if not isinstance(shape, list | tuple) or len(shape) != 2 or math.prod(shape) != total:
        raise ConfigError(
            f"prediction_reshaper is {shape!r}, [positions, classes] of product out_dims = {total} is wanted"
        )
    return OutputConfig(classes=shape[1], positions=(shape[0],))


BARE: dict[str, Any] = {"backbone_type": "none", "positional_embedding_type": "none"}
ONE_ANSWER: dict[str, Any] = {"prediction_reshaper": [-1]}
TASKS: Mapping[str, ReferenceTask] = {
    "image": ReferenceTask(_image, BARE | ONE_ANSWER),
    "parity": ReferenceTask(
        _parity,
        {"backbone_type": "parity_backbone", "positional_embedding_type": "custom-rotational-1d"},
        further=("prediction_reshaper",),
        of_loss=("use_most_certain",),
    ),
    "maze": ReferenceTask(
        _maze,
        {"positional_embedding_type": "none"},
        further=("prediction_reshaper",),
        optional=("backbone_type",),
        of_loss=("use_most_certain", "curriculum_lookahead"),
    ),
    "sort": ReferenceTask(_sort, BARE | ONE_ANSWER, of_loss=("blank",), attends=False),
    "qamnist": ReferenceTask(
        _questions,
        ONE_ANSWER,
        further=("iterations_per_digit", "iterations_per_question_part"),
        optional=("iterations",),
        of_loss=("use_most_certain", "answer_steps"),
        ticks="iterations_for_answering",
    ),
}
"""Each task of the reference by the name that its kind ends in; ``image`` for the bare kind."""

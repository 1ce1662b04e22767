"""Weights and configurations of the baselines' reference implementation (SakanaAI/continuous-thought-machines)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from tide.backbones.images import BLOCKS_OF
from tide.config import (
    BackboneSettings,
    FeatureMapConfig,
    ImageConfig,
    InputSettings,
    ModelConfig,
    OutputConfig,
    QuestionsConfig,
    ResNetTrunkConfig,
    ScheduleConfig,
    SequenceConfig,
    SymbolsConfig,
)
from tide.errors import CheckpointError, ConfigError, did_you_mean
from tide.models.thinker import Thinker

# Names of the reference implementation for what stands before the cell: backbones, positions, embeddings.


AFFINE = ("weight", "bias")
NORM = (*AFFINE, "running_mean", "running_var", "num_batches_tracked")


def backbone_names(config: BackboneSettings) -> dict[str, str]:
    """Return the reference's name of each parameter and kept buffer of a backbone, by our name."""
    if isinstance(config, SymbolsConfig):
        return {
            "embedding.weight": "backbone.embedding.weight",
            **{f"positions.projection.{part}": f"positional_embedding.projection.{part}" for part in AFFINE},
        }
    if isinstance(config, QuestionsConfig):
        layers = {0: AFFINE, 1: NORM, 4: AFFINE, 5: NORM}
        return {
            "places": "index_backbone.embedding",
            "operators.weight": "operator_backbone.embedding.weight",
            **{f"digit.{k}.{part}": f"backbone_digit.layers.{k}.{part}" for k in layers for part in layers[k]},
        }
    return dict(_trunk(config)) if isinstance(config, ResNetTrunkConfig) else {}


def _trunk(config: ResNetTrunkConfig) -> Iterator[tuple[str, str]]:
    yield from {f"stem.0.{part}": f"initial_rgb.{part}" for part in AFFINE}.items()
    modules = {"stem.1": ("conv1", ("weight",)), "stem.2": ("bn1", NORM)}
    for stage, count in enumerate(BLOCKS_OF[config.depth][: config.stages]):
        for block in range(count):
            ours, theirs = f"stages.{stage}.{block}", f"layer{stage + 1}.{block}"
            for number in (1, 2):
                modules[f"{ours}.body.{3 * (number - 1)}"] = f"{theirs}.conv{number}", ("weight",)
                modules[f"{ours}.body.{3 * (number - 1) + 1}"] = f"{theirs}.bn{number}", NORM
            if stage > 0 and block == 0:
                modules[f"{ours}.skip.0"] = f"{theirs}.downsample.0", ("weight",)
                modules[f"{ours}.skip.1"] = f"{theirs}.downsample.1", NORM
    for ours, (theirs, parts) in modules.items():
        for part in parts:
            yield f"{ours}.{part}", f"backbone.{theirs}.{part}"


# The tasks of the baselines' reference implementation: what its arguments say of a model's input and output.


Arguments = Mapping[str, Any]
TRUNKS = {f"resnet{depth}-{stages}": (depth, stages) for depth in (18, 34) for stages in range(1, 5)}
"""The reference's names of the first stages of a ResNet: its depth and how many."""


class Sections(NamedTuple):
    """The sections of a model's configuration but its core."""

    input: InputSettings
    output: OutputConfig
    backbone: BackboneSettings


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


# Weights of the baselines' reference implementation (SakanaAI/continuous-thought-machines) by their names there.


READING = {
    "attention.tokens.weight": "kv_proj.0.weight",
    "attention.tokens.bias": "kv_proj.0.bias",
    "attention.token_norm.weight": "kv_proj.1.weight",
    "attention.token_norm.bias": "kv_proj.1.bias",
    "attention.query.weight": "q_proj.weight",
    "attention.query.bias": "q_proj.bias",
    "attention.inner": "attention.in_proj_weight",
    "attention.inner_bias": "attention.in_proj_bias",
    "attention.output.weight": "attention.out_proj.weight",
    "attention.output.bias": "attention.out_proj.bias",
}
HEAD = {"head.weight": "output_projector.0.weight", "head.bias": "output_projector.0.bias"}


def shared_names(attends: bool) -> dict[str, str]:
    """Return our parameter → the reference's, of what both baselines share."""
    return (READING if attends else {}) | HEAD


class ReferenceModel(Thinker):
    """A baseline that exchanges weights with the reference implementation."""

    def reference_names(self) -> dict[str, str]:
        """Return the reference's name of each of the cell's parameters, by our name; shapes are the same."""
        raise NotImplementedError

    def _load_reference_buffers_(self, given: dict[str, Tensor]) -> None:
        """Take the reference's buffers out of ``given`` and load them."""

    def reference_shape(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the reference's shape of what has this name there and ``shape`` here."""
        return shape

    def load_reference_state_dict(self, mapping: Mapping[str, Any]) -> Self:
        """Load the reference's parameters and buffers (tensors or arrays) by its names; returns the model.

        Without a backbone the width of the feature map comes with the weights: the reference's configuration does not
        name it. Decays are brought into [0, 15], as the reference does in its forward pass. Raises
        :class:`CheckpointError` where names are missing or left over, or shapes differ; the model is then as it was.
        """
        given = {name: torch.as_tensor(value) for name, value in mapping.items()}
        self._check_reference(given)
        if self._free_features():
            self._fit_features_(given["kv_proj.0.weight"].shape[1])
        with torch.no_grad():
            for theirs, tensor in self._shared().items():
                tensor.copy_(given.pop(theirs).reshape(tensor.shape))
        self._load_reference_buffers_(given)
        self.project_()
        return self

    def reference_tensors(self) -> dict[str, Tensor]:
        """Return parameters and the backbone's buffers (running statistics, embeddings) by the reference's name.

        In the reference's shape; the pairs of neurons are not among them.
        """
        return {name: self._as_there(name, tensor.detach()) for name, tensor in self._shared().items()}

    def reference_gradients(self) -> dict[str, Tensor]:
        """Return the gradient of every parameter that has one, by the reference's name and in its shape."""
        return {
            name: self._as_there(name, grad)
            for name, tensor in self._shared().items()
            if (grad := tensor.grad) is not None
        }

    def _as_there(self, name: str, tensor: Tensor) -> Tensor:
        return tensor.reshape(self.reference_shape(name, tuple(tensor.shape)))

    def _shared(self) -> dict[str, Tensor]:
        """Return the parameters and the backbone's buffers by the reference's name."""
        backbone = self.backbone.state_dict(keep_vars=True)
        return {
            **{theirs: self.cell.get_parameter(ours) for ours, theirs in self.reference_names().items()},
            **{theirs: backbone[ours] for ours, theirs in backbone_names(self.config.backbone).items()},
        }

    def reference_buffer_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each buffer of the reference."""
        return {}

    def _check_reference(self, given: Mapping[str, Tensor]) -> None:
        shapes = {name: self.reference_shape(name, tuple(tensor.shape)) for name, tensor in self._shared().items()}
        shapes |= self.reference_buffer_shapes()
        missing, extra = sorted(shapes.keys() - given.keys()), sorted(given.keys() - shapes.keys())
        if missing or extra:
            what = f"{missing[0]!r} is missing" if missing else f"{extra[0]!r} is unknown"
            raise CheckpointError(
                f"these weights are not this configuration's: {what} ({len(missing)} missing, {len(extra)} unknown); "
                "build the model with from_reference_config from the configuration they were trained with"
            )
        free = {"kv_proj.0.weight"} if self._free_features() else set()
        for name, shape in shapes.items():
            found = tuple(given[name].shape)
            if name in free and len(found) == 2:
                found, shape = found[:1], shape[:1]
            if found != shape:
                raise CheckpointError(f"{name} has shape {found}, {shape} is wanted: the configuration differs")
            if given[name].is_floating_point() and not bool(given[name].isfinite().all()):
                raise CheckpointError(f"{name} holds NaN or infinite values, finite ones are wanted: damaged weights")
            highest = self.config.core.neurons - 1
            if "indices" in name and not bool(((given[name] >= 0) & (given[name] <= highest)).all()):
                raise CheckpointError(f"{name} names neurons outside 0 to {highest}, its own configuration is wanted")

    def _free_features(self) -> bool:
        """Whether the input is a feature map, of any width."""
        return isinstance(self.config.backbone, FeatureMapConfig) and self.config.core.attends

    def _fit_features_(self, width: int) -> None:
        """Make room for feature maps of another width."""
        linear, backbone = self.cell.get_submodule("attention.tokens"), self.config.backbone
        assert isinstance(linear, nn.Linear)
        if isinstance(backbone, FeatureMapConfig) and linear.in_features != width:
            # Not drawn from the global generator: the weights are about to be replaced.
            other = nn.Linear(width, linear.out_features, device="meta").to_empty(device=linear.weight.device)
            self.cell.get_submodule("attention").tokens = other.to(linear.weight.dtype)
            self.config = replace(self.config, backbone=replace(backbone, features=width))


def model_config(core: Any, arguments: Mapping[str, Any], task: ReferenceTask) -> ModelConfig:
    """Return the configuration of a model from its core and the arguments of the reference's constructor."""
    return ModelConfig(core=core, **task.sections(arguments)._asdict())


def check_arguments(
    arguments: Mapping[str, Any], required: Iterable[str], optional: Iterable[str], left_out: Mapping[str, Any]
) -> None:
    """Raise :class:`ConfigError` for arguments of the reference's constructor that are unknown, missing or not built.

    ``left_out`` gives the value of each argument that leaves a part out which is not built here.
    """
    names = [*required, *optional, *left_out]
    for name, value in arguments.items():
        if name not in names:
            raise ConfigError(f"unknown argument {name!r} of the reference{did_you_mean(name, names)}")
        if name == "prediction_reshaper" and value == [arguments.get("out_dims")]:
            continue  # [-1], written out
        if name in left_out and value != left_out[name]:
            raise ConfigError(
                f"{name} is {value!r}, {left_out[name]!r} is wanted: that part of the reference is not built here"
            )
    for name in required:
        if name not in arguments:
            raise ConfigError(f"argument {name!r} of the reference is missing, a value is wanted: give all arguments")

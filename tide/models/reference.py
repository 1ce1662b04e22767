"""Weights of the baselines' reference implementation (SakanaAI/continuous-thought-machines) by their names there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from tide.config import FeatureMapConfig, ModelConfig
from tide.errors import CheckpointError, ConfigError, did_you_mean
from tide.models.reference_backbones import backbone_names
from tide.models.reference_tasks import ReferenceTask
from tide.models.thinker import Thinker

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

"""A model on disk: ``model.safetensors`` with the weights and ``config.json`` with what determines the model."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from tide.config import ModelConfig
from tide.config.formats import FORMAT
from tide.config_io import from_dict, to_dict
from tide.core.constraints import violations
from tide.errors import CheckpointError, ConfigError, one_line
from tide.json_io import read_mapping

WEIGHTS, CONFIG = "model.safetensors", "config.json"


def write_model(directory: Path, config: ModelConfig, state: dict[str, Tensor]) -> None:
    """Write weights and configuration into an existing directory; raises OSError where that fails."""
    # Serialised first, so that a full disk is an ordinary OSError of the write.
    (directory / WEIGHTS).write_bytes(save({name: t.detach().contiguous().cpu() for name, t in state.items()}))
    text = json.dumps({"format": FORMAT, **to_dict(config)}, indent=2)
    (directory / CONFIG).write_text(text + "\n", encoding="utf-8")


def read_model(directory: Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Read what :func:`write_model` wrote.

    Weights are read as safetensors only, which holds no code; a pickle in its place is refused unread. Raises
    :class:`CheckpointError` for missing, damaged, foreign or newer files.
    """
    config = read_config(directory / CONFIG)
    path = directory / WEIGHTS
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; give a folder that save_pretrained or `tide train` wrote")
    try:
        return config, load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file ({one_line(error)}); use another checkpoint, this one is damaged"
        ) from error


def read_config(path: Path) -> ModelConfig:
    """Read the configuration that :func:`write_model` wrote; raises as :func:`read_model`."""
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; give a folder that save_pretrained or `tide train` wrote")
    try:
        mapping = read_mapping(path)
        version = mapping.pop("format")
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} is not a configuration of this library ({error!r}); it is damaged") from error
    if version not in (1, FORMAT):
        raise CheckpointError(
            f"{path} has format {version!r}, 1 to {FORMAT} are read by this version: install the version that wrote it"
        )
    try:
        return from_dict(ModelConfig, mapping)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error


def load_weights(model: torch.nn.Module, state: dict[str, Tensor], source: Path) -> None:
    """Load ``state`` into ``model``; warns where a bounded parameter is outside its bounds.

    Raises :class:`CheckpointError` where names or shapes differ, or a number is not finite.
    """
    broken = [name for name, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise CheckpointError(
            f"the weights in {source} hold NaN or infinite numbers ({broken[0]}), finite ones are wanted: use another "
            "checkpoint"
        )
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        first = next((line.strip() for line in str(error).splitlines()[1:] if line.strip()), str(error))
        raise CheckpointError(
            f"the weights in {source} belong to another configuration ({first}), its own are wanted: restore the folder"
        ) from error
    outside = violations(model)
    if outside:
        more = f" and {len(outside) - 1} more" if len(outside) > 1 else ""
        warnings.warn(
            f"{outside[0]}{more} in {source} is outside its bounds, as after training without model.project_(): call "
            "it before you trust Dale's principle or a guarantee",
            stacklevel=2,
        )


def existing(folder: Path) -> Path | None:
    """Return the checkpoint folder that is whole: ``folder``, or the one that a crash left between two renames."""
    for candidate in (folder, folder.with_name(f".{folder.name}.old")):
        if candidate.is_dir():
            return candidate
    return None


def run_checkpoint(run: Path, name: str) -> Path:
    """Return the folder of checkpoint ``"best"`` or ``"last"`` of a run folder."""
    found = existing(run / name)
    if found is None:
        raise CheckpointError(
            f"{run} holds no checkpoint {name!r}; let the run reach its first evaluation or checkpoint"
        )
    return found

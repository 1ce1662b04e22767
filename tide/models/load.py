"""Models from presets, folders, runs and the hub."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from tide.config import CTMConfig, LSTMConfig, ModelConfig
from tide.errors import CheckpointError, InputError, short_repr
from tide.models.control_presets import CONTROL_PRESETS, control_preset
from tide.models.ctm import CTM
from tide.models.lstm import LSTM
from tide.models.presets import preset
from tide.models.saved import CONFIG, PRETRAINED, read_config, run_checkpoint, shipped
from tide.models.thinker import Thinker

HUB = "hub:"


def create(name: str, **sections: Any) -> Thinker:
    """Return a new model from a preset, in training mode.

    ``create("mnist", core=dict(ticks=25), seed=1)`` overrides settings by section. The same name and settings give
    the same weights whatever the state of the global random generators.
    """
    config = control_preset(name, **sections).model if name in CONTROL_PRESETS else preset(name, **sections).model
    return model_class(config)(config)


def model_class(config: ModelConfig) -> type[Thinker]:
    """Return the class of a configuration's model: one that also reads reference weights, for a baseline."""
    if isinstance(config.core, CTMConfig):
        return CTM
    return LSTM if isinstance(config.core, LSTMConfig) else Thinker


def outline(config: ModelConfig) -> Thinker:
    """Return a model with shapes but without numbers (torch's meta device): to count what a large one would hold."""
    with torch.device("meta"):
        return model_class(config)(config)


def _from_folder(folder: Path) -> Thinker:
    return model_class(read_config(folder / CONFIG)).from_folder(folder)


def pretrained(name: str) -> Thinker:
    """Return one of the trained models that come with the library, in eval mode; ``model.card`` says how good it is.

    Raises :class:`InputError` for a name that is not one of :func:`tide.models.saved.names`, and
    :class:`CheckpointError` where the installed weights are damaged.
    """
    return _from_folder(shipped(name))


def load(path: str | Path, *, checkpoint: str = "best") -> Thinker:
    """Return a trained model, in eval mode.

    ``path`` is ``pretrained:mnist`` or another that comes with the library (:func:`tide.models.saved.names`), a
    folder that ``save_pretrained`` wrote, a run folder (of which ``checkpoint``, ``"best"`` or
    ``"last"``, is read), or ``hub:owner/name`` on the Hugging Face hub; without ``hub:`` only what was fetched from
    there before, so that a mistyped path asks no stranger. Raises :class:`CheckpointError` for anything else, and for
    files that are missing, damaged, of another configuration or of a newer version.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"path must be the folder of a model or hub:owner/name, got {short_repr(path)}")
    if checkpoint not in ("best", "last"):
        raise InputError(f"checkpoint must be best or last, got {short_repr(checkpoint)}")
    named = os.fspath(path)
    if named.startswith(PRETRAINED):
        return pretrained(named.removeprefix(PRETRAINED))
    folder = Path(named).expanduser()
    if (folder / "config.yaml").is_file():
        return _from_folder(run_checkpoint(folder, checkpoint))
    if folder.is_dir():
        return _from_folder(folder)
    if folder.exists():
        raise CheckpointError(f"{path} is a file; give the folder of a run or one that save_pretrained wrote")
    place = named.removeprefix(HUB)
    if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", place):
        raise CheckpointError(f"{path} does not exist; give the folder of a run or one that save_pretrained wrote")
    try:
        return _from_folder(Path(snapshot_download(place, local_files_only=place == named)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        if place == named:
            raise CheckpointError(
                f"{path} does not exist; give the folder of a run or one that save_pretrained wrote, or {HUB}{path} "
                "for a model on the hub"
            ) from error
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(
            f"the hub does not give {place} ({reason}); check the name, OWNER/NAME of a model, and the network"
        ) from error

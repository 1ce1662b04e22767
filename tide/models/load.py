"""Models from presets, folders, runs and the hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from tide.config import CTMConfig, LSTMConfig, ModelConfig
from tide.errors import CheckpointError
from tide.models.ctm import CTM
from tide.models.files import CONFIG, read_config, run_checkpoint
from tide.models.lstm import LSTM
from tide.models.presets import preset
from tide.models.thinker import Thinker


def create(name: str, **sections: Any) -> Thinker:
    """Return a new model from a preset, in training mode.

    ``create("mnist", core=dict(ticks=25), seed=1)`` overrides settings by section. The same name and settings give
    the same weights whatever the state of the global random generators.
    """
    config = preset(name, **sections).model
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


def load(path: str | Path, *, checkpoint: str = "best") -> Thinker:
    """Return a trained model, in eval mode.

    ``path`` is a folder that ``save_pretrained`` wrote, a run folder (of which ``checkpoint``, ``"best"`` or
    ``"last"``, is read), or ``owner/name`` on the hub. Raises :class:`CheckpointError` for anything else, and for
    files that are missing, damaged, of another configuration or of a newer version.
    """
    folder = Path(path)
    if (folder / "config.yaml").is_file():
        return _from_folder(run_checkpoint(folder, checkpoint))
    if folder.is_dir():
        return _from_folder(folder)
    if folder.exists():
        raise CheckpointError(f"{path} is a file; give the folder of a run or one that save_pretrained wrote")
    if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", str(path)):
        raise CheckpointError(f"{path} does not exist; give the folder of a run or one that save_pretrained wrote")
    try:
        return _from_folder(Path(snapshot_download(str(path))))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(f"{path} is no local folder, and the hub does not give it ({reason})") from error

"""What the answers kept in a folder were measured with: they are used again only under the same settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tide.errors import CheckpointError
from tide.json_io import read_mapping
from tide.studies.shifts import GENERATED

SETTINGS, WEIGHTS, DATA, STATISTICS = "settings.json", "weights", "data", "statistics"
TRAINING = "training"  # whose statistics batch normalisation took


def agree(out: Path, settings: Mapping[str, object], weights: Mapping[str, str]) -> None:
    """Compare settings with those kept in ``out``, and keep them together with what is there.

    Weights are compared for the models that both name; the other models are added. Folders of the suite ``corruptions``
    that were written before the data were noted are taken as they are, and the data are noted.

    Args:
        out: the folder; made where it does not exist.
        settings: what answers are measured with, by name; as JSON writes it.
        weights: the digest of each model's weights, by its name.

    Raises:
        CheckpointError: ``out`` holds other values, or they cannot be read or written.
    """
    file = out / SETTINGS
    kept = _read(file)
    older = DATA not in kept and kept.get("suite") == GENERATED
    wanted = {name: value for name, value in settings.items() if not (older and name == DATA)}
    differ = [f"{name} {kept.get(name)!r}, not {value!r}" for name, value in wanted.items() if kept.get(name) != value]
    there = kept.get(WEIGHTS, {})
    differ += [f"other weights of {name}" for name, value in weights.items() if there.get(name, value) != value]
    if kept and differ:
        raise CheckpointError(
            f"{out} holds answers measured with other settings or models ({differ[0]}): give another --out, or the same"
        )
    text = json.dumps({**kept, **settings, WEIGHTS: {**there, **weights}}, indent=2, sort_keys=True) + "\n"
    try:
        out.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CheckpointError(f"cannot write {file}: {error.strerror}; give another --out") from error


def _read(file: Path) -> dict[str, Any]:
    """Return what a folder holds, nothing for a new one; older ones noted no statistics, there were only training's."""
    if not file.is_file():
        return {}
    try:
        kept = read_mapping(file)
        if not isinstance(kept.get(WEIGHTS), dict):
            raise ValueError(f"no {WEIGHTS}")
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{file} is damaged ({error}): give another --out, or remove the folder to measure again"
        ) from error
    return {STATISTICS: TRAINING, **kept}

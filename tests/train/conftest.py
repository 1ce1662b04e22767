"""A tiny experiment on real digits."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tide.config import Config
from tide.data import Splits, load
from tide.models.presets import preset
from tide.train.supervised import fit_to_data, resolved

TINY: dict[str, Any] = {
    "backbone": {"width": 8, "branch_width": 4, "features": 16},
    "core": {
        "neurons": 30,
        "ticks": 3,
        "attention": {"width": 16, "heads": 2},
        "neuron_models": {"memory_length": 4},
        "synchrony": {"pairs_ee": 32, "pairs_ei": 16, "pairs_ii": 8, "width": 8},
        "memory": {"width": 8},
        "head": {"hidden": 16},
    },
    "train": {"steps": 20, "batch": 16, "log_every": 1, "monitor_every": 5, "eval_every": 8, "checkpoint_every": 4},
}


@pytest.fixture(scope="session")
def digits() -> Splits:
    return load("digits")


@pytest.fixture(scope="session")
def tiny(digits: Splits) -> Config:
    return fit_to_data(resolved(preset("digits", **TINY)), digits)


@pytest.fixture(scope="session")
def copy_run() -> Callable[[Path, Path], Path]:
    """Return a copier of run folders."""
    return lambda source, target: Path(shutil.copytree(source, target))

"""The options that ``tide compare``, ``tide ablate`` and ``tide study`` share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from tide.device import DeviceName
from tide.errors import InputError


@dataclass(frozen=True, kw_only=True)
class RunnerArguments:
    """Where and how the runs of a study are made."""

    out: Path | None = None
    """Folder of the study: its runs, JSON, Markdown and pictures (none: in runs/, named after the study)."""
    data_dir: Path | None = None
    """Folder of the data sets (none: $TIDE_DATA, else a cache folder of the user's)."""
    jobs: int | None = None
    """Runs side by side (none: one per core on the CPU, else one)."""
    device: DeviceName = "auto"
    """Device to train on."""


@dataclass(frozen=True, kw_only=True)
class StudyArguments(RunnerArguments):
    """Options of every study of one task. What is not given comes from TIDE's preset for the task."""

    ticks: int | None = None
    """Internal ticks T of every model."""
    memory_length: int | None = None
    """History M of the neuron-level models."""
    batch: int | None = None
    """Images per step."""
    file: Annotated[Path | None, tyro.conf.arg(name="config")] = None
    """YAML file of other changes of TIDE's settings, for every run; the baselines take over what they share."""


def check_steps(steps: int | None) -> None:
    """Raise :class:`InputError` for fewer steps than one; None leaves them to the preset."""
    if steps is not None and steps < 1:
        raise InputError(f"--steps is {steps}, 1 or more are wanted")

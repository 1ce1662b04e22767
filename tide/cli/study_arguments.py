"""The options that ``tide compare`` and ``tide ablate`` share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from tide.cli.device import DeviceName


@dataclass(frozen=True, kw_only=True)
class StudyArguments:
    """Options of every study. What is not given comes from TIDE's preset for the task."""

    ticks: int | None = None
    """Internal ticks T of every model."""
    memory_length: int | None = None
    """History M of the neuron-level models."""
    batch: int | None = None
    """Images per step."""
    file: Annotated[Path | None, tyro.conf.arg(name="config")] = None
    """YAML file of other changes of TIDE's settings, for every run; the baselines take over what they share."""
    out: Path | None = None
    """Folder of the study: its runs, JSON, Markdown and pictures (default: runs/<command>-<task>)."""
    data_dir: Path | None = None
    """Folder of the data sets (default: $TIDE_DATA, else a cache folder of the user's)."""
    jobs: int | None = None
    """Runs side by side (default: one per core on the CPU, else one)."""
    device: DeviceName = "auto"
    """Device to train on."""

"""Options that several commands have; apart, since their help is read from this file, once for each class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tide.device import DeviceName


@dataclass(frozen=True, kw_only=True)
class Threads:
    """How many threads there are."""

    threads: int | None = None
    """Threads of one operation on the CPU."""


@dataclass(frozen=True, kw_only=True)
class Device(Threads):
    """What is computed on."""

    device: DeviceName = "auto"
    """Device to compute on."""


@dataclass(frozen=True, kw_only=True)
class DataDir:
    """Where data lie."""

    data_dir: Path | None = None
    """Folder of the data sets (none: the run's, else $TIDE_DATA, else a cache folder of the user's)."""


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Who decodes photos."""

    workers: int | None = None
    """Processes that decode photos (none: one for each core but one, 8 at most)."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Which weights of a run are read."""

    checkpoint: Literal["best", "last"] = "best"
    """Which checkpoint of a run to read."""

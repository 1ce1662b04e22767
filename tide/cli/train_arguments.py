"""The options of ``tide train``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from tide.config import Config
from tide.config.io import from_dict
from tide.device import DeviceName


@dataclass(frozen=True, kw_only=True)
class TrainArguments:
    """Options of one training run; everything below them is a setting of the model, the loss or the procedure."""

    settings: Annotated[Config, tyro.conf.arg(name="")]
    data: str | None = None
    """Data set in place of the preset's: digits, mnist, fashion-mnist, cifar10, cifar100, folder:DIR, hub:DIR
    or hub:OWNER/NAME[@REVISION]."""
    data_dir: Path | None = None
    """Folder of the data sets (none: $TIDE_DATA, else a cache folder of the user's)."""
    steps: int | None = None
    """Optimiser steps: short for --train.steps."""
    ticks: int | None = None
    """Internal ticks: short for --core.ticks."""
    batch: int | None = None
    """Images per micro-batch: short for --train.batch."""
    out: Path | None = None
    """New run folder (none: runs/<preset>, numbered where it exists)."""
    resume: Path | None = None
    """Continue this run, bit for bit."""
    file: Annotated[Path | None, tyro.conf.arg(name="config")] = None
    """YAML file of settings; they come on top of the preset, options on top of them."""
    print_config: bool = False
    """Print the resolved settings as YAML and stop."""
    dry_run: bool = False
    """Show shapes, parameters, one step, memory and time, then stop."""
    device: DeviceName = "auto"
    """Device to train on."""
    threads: int | None = None
    """Threads of one operation on the CPU."""
    workers: int | None = None
    """Processes that decode streamed photos (none: one for each core but one, 8 at most)."""
    track: tuple[str, ...] = ()
    """Show the readings elsewhere, too: tensorboard (extra [tensorboard], in RUN/tensorboard), or the name of a tracker
    that another package offers. metrics.jsonl holds them in any case."""
    compile: bool = False
    """Compile one tick with torch.compile."""

    def shortened(self) -> Config:
        """Return the settings with what the short options say."""
        short: dict[str, dict[str, int | None]] = {
            "train": {"steps": self.steps, "batch": self.batch},
            "core": {"ticks": self.ticks},
        }
        given = {key: {k: v for k, v in part.items() if v is not None} for key, part in short.items()}
        return from_dict(Config, {key: part for key, part in given.items() if part}, base=self.settings)

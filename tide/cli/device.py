"""Which device and how many threads a command uses."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from tide.errors import InputError

if TYPE_CHECKING:
    import torch

DeviceName = Literal["auto", "cpu", "cuda", "mps"]


def pick_device(name: DeviceName, index: int = 0) -> torch.device:
    """Return the device asked for, or with ``auto`` the fastest there is; of several GPUs, number ``index``."""
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = "cuda" if available["cuda"] else "mps" if available["mps"] else "cpu"
    if not available[name]:
        raise InputError(f"device {name!r} is not available on this machine; use --device cpu or --device auto")
    return torch.device(name, index) if name == "cuda" and index else torch.device(name)


def pick_workers(workers: int | None) -> int:
    """Return how many processes decode photos: what was asked for, or one for each core but one, 8 at most.

    Processes of one run on one machine share its cores.
    """
    from tide.studies.runner import available_cores

    if workers is None:
        mine = available_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        return min(8, max(0, mine - 1))
    if workers < 0:
        raise InputError(f"--workers is {workers}, 0 (decode between the steps) or more are wanted")
    return workers


def set_threads(threads: int | None) -> None:
    """Limit the threads of one operation; None leaves torch's own choice."""
    import torch

    if threads is not None:
        if threads < 1:
            raise InputError(f"--threads is {threads}, 1 or more are wanted")
        torch.set_num_threads(threads)

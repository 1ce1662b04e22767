"""Which device and how many threads a command uses."""

from __future__ import annotations

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


def set_threads(threads: int | None) -> None:
    """Limit the threads of one operation; None leaves torch's own choice."""
    import torch

    if threads is not None:
        if threads < 1:
            raise InputError(f"--threads is {threads}, 1 or more are wanted")
        torch.set_num_threads(threads)

"""Which device and how many threads a command uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tide.errors import InputError

if TYPE_CHECKING:
    import torch

DeviceName = Literal["auto", "cpu", "cuda", "mps"]


def pick_device(name: DeviceName) -> torch.device:
    """Return the device asked for, or with ``auto`` the fastest there is."""
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if available[kind]))
    if not available[name]:
        raise InputError(f"device {name!r} is not available on this machine; use --device cpu or --device auto")
    return torch.device(name)


def set_threads(threads: int | None) -> None:
    """Limit the threads of one operation; None leaves torch's own choice."""
    import torch

    if threads is not None:
        if threads < 1:
            raise InputError(f"--threads is {threads}, 1 or more are wanted")
        torch.set_num_threads(threads)

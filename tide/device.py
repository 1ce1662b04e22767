"""Which device, how many cores and threads there are to use, how much memory was used, and what asks to stop."""

from __future__ import annotations

import math
import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tide.errors import InputError, short_repr

if TYPE_CHECKING:
    import torch

MAX_THREADS = 1024


def _signals(*names: str) -> tuple[signal.Signals, ...]:
    return tuple(getattr(signal, name) for name in names if hasattr(signal, name))  # a system has not all of them


WARNINGS = _signals("SIGUSR1", "SIGUSR2", "SIGXCPU")
"""What schedulers send before the end of a job: Slurm's --signal, others' limits of CPU time, once a second."""
STOPS = (*_signals("SIGINT", "SIGTERM", "SIGHUP"), *WARNINGS)
"""Signals that ask to save and leave."""

DeviceName = Literal["auto", "cpu", "cuda", "mps"]


def pick_device(name: DeviceName, index: int = 0) -> torch.device:
    """Return the device asked for, or with ``auto`` the fastest there is; of several GPUs, number ``index``."""
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = "cuda" if available["cuda"] else "mps" if available["mps"] else "cpu"
    if not available[name]:
        raise InputError(f"device {name!r} is not available on this machine; use --device cpu or --device auto")
    if name == "cuda" and index >= torch.cuda.device_count():
        raise InputError(f"LOCAL_RANK must be below the {torch.cuda.device_count()} GPUs here, got {index}")
    return torch.device(name, index) if name == "cuda" and index else torch.device(name)


def pick_workers(workers: int | None) -> int:
    """Return how many processes decode photos: what was asked for, or one for each core but one, 8 at most.

    Processes of one run on one machine share its cores.
    """
    if workers is None:
        mine = available_cores() // whole_number_of("LOCAL_WORLD_SIZE", 1, lowest=1)
        return min(8, max(0, mine - 1))
    if workers < 0:
        raise InputError(f"--workers must be at least 0 (decode between the steps), got {workers}")
    return workers


def whole_number_of(variable: str, default: int | None = None, *, lowest: int = 0, highest: float = math.inf) -> int:
    """Return what a launcher says in a variable of the environment; an empty one is as one that is not set.

    Raises:
        InputError: it is no whole number in these bounds, or neither set nor has a default.
    """
    text = os.environ.get(variable, "").strip()
    if not text and default is not None:
        return default
    if not text.isdecimal() or len(text) > 9 or not lowest <= int(text) <= highest:
        bounds = f"from {lowest} to {highest}" if highest < math.inf else f"of at least {lowest}"
        raise InputError(
            f"{variable} must be a whole number {bounds}, got {short_repr(text)}; start with torchrun, or unset it"
        )
    return int(text)


def set_threads(threads: int | None) -> None:
    """Limit the threads of one operation; None leaves torch's own choice."""
    import torch

    check_threads(threads)
    if threads is not None:
        torch.set_num_threads(threads)


def check_threads(threads: int | None) -> None:
    """Raise :class:`InputError` for a number of threads out of range."""
    if threads is not None and threads < 1:
        raise InputError(f"--threads must be at least 1, got {threads}")
    if threads is not None and threads > MAX_THREADS:
        raise InputError(f"--threads must be at most {MAX_THREADS}, got {threads}")


def synchronize(device: torch.device) -> None:
    """Wait until a device has done what it was given; the CPU always has."""
    import torch

    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory(device: torch.device) -> float:
    """Return the most memory used so far in MiB: of the device, or of this process; NaN where nobody knows."""
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if (status := Path("/proc/self/status")).is_file():
        # Not ru_maxrss: a new process takes that over from the one that started it.
        lines = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines() if ":" in line)
        if "VmHWM" in lines:
            return int(lines["VmHWM"].split()[0]) / 2**10
    if sys.platform == "win32" or find_spec("resource") is None:
        return math.nan  # Windows does not say without another package
    import resource

    # Linux reports KiB, macOS bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def available_memory(device: torch.device) -> float:
    """Return the bytes that a device still has: of a GPU, or of this machine; infinity where nobody knows."""
    import torch

    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    if (information := Path("/proc/meminfo")).is_file():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 2**10
    return math.inf

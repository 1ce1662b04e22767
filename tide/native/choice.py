"""Whether the native loop or the eager one runs, and why: the only place that decides."""

from __future__ import annotations

import os
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from tide.config import CoreConfig
from tide.errors import InputError
from tide.native.compiler import NativeError
from tide.native.library import Library, load

VARIABLE = "TIDE_NATIVE"


class Choice(NamedTuple):
    """The library to run, None for the eager loop, and why in one sentence."""

    library: Library | None
    reason: str


def choose(core: object, like: Tensor, *, recorded: bool = False, compiled: bool = False) -> Choice:
    """Decide for a forward pass of a core's configuration on the device and in the type of ``like``.

    ``recorded``: quantities are recorded per tick; ``compiled``: a tick is compiled by ``torch.compile``. The variable
    ``TIDE_NATIVE`` switches the native loop off (0) or makes its absence an error (require). The first call compiles.
    Raises :class:`InputError` for another value of the variable, or where the native loop is required and cannot be.
    """
    wish = os.environ.get(VARIABLE, "")
    if wish not in ("", "0", "1", "require"):
        raise InputError(f"{VARIABLE} is {wish!r}, 0 (off), require or nothing (automatic) is wanted")
    if wish == "0":
        return Choice(None, f"eager loop over ticks: {VARIABLE} is 0")
    if not isinstance(core, CoreConfig):
        return Choice(None, f"eager loop over ticks: core {getattr(core, 'kind', core)} has no native one")
    missing = unsupported(core, like)
    library: Library | NativeError | None = None
    if missing is None:
        passing = _passing(recorded=recorded, compiled=compiled)
        if passing is not None:
            return Choice(None, f"eager loop over ticks: {passing}")
        library = load()
        if isinstance(library, Library):
            return Choice(library, "native loop over ticks")
        missing = str(library)
    if wish == "require":
        raise InputError(
            f"{VARIABLE} is require, but there is no native loop over ticks: {missing}; unset it for eager"
        )
    return Choice(None, f"eager loop over ticks: {missing}")


def unsupported(core: CoreConfig, like: Tensor) -> str | None:
    """Return what of a model the native loop does not cover, None if it covers it."""
    if like.device.type != "cpu":
        return f"device {like.device.type} has no native one"
    if like.dtype != torch.float32:
        return f"numbers are {str(like.dtype).removeprefix('torch.')}, float32 is wanted"
    if core.activation != "relu":
        return f"core.activation is {core.activation}, relu is wanted"
    if core.norm == "rms_shared":
        return f"core.norm is {core.norm}, rms, rms_cap or none is wanted"
    return None


def _passing(*, recorded: bool, compiled: bool) -> str | None:
    """Return what this pass asks for that only the eager loop does."""
    if recorded:
        return "ticks are recorded"
    if compiled or torch.compiler.is_compiling():
        return "ticks are compiled by torch.compile"
    if torch.is_autocast_enabled("cpu"):
        return "autocast is on"
    if is_in_torch_dispatch_mode():
        return "every operation is watched"  # counting operations, for example
    return None

"""Whether the native loop or the eager one runs, and why: the only place that decides."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from tide.config import CoreConfig
from tide.device import captured
from tide.errors import InputError
from tide.native.call import NORMS
from tide.native.library import Library, load

VARIABLE = "TIDE_NATIVE"

KNOWN: dict[str, tuple[str, ...]] = {
    "core": (
        *("kind", "neurons", "excitatory_fraction", "ticks", "tau_e", "tau_i", "dt", "start_rates", "start"),
        *("start_gain", "activation", "norm", "dale", "guarantee", "inhibition", "ratio_target"),
        "ratio_normalization",
    ),
    "core.attention": ("width", "heads", "residual"),
    "core.lateral": ("iterations", "strength", "tolerance"),
    "core.neuron_models": ("enabled", "memory_length", "hidden", "feedback"),
    "core.synchrony": (
        *("typed", "pairs_ee", "pairs_ei", "pairs_ii", "width", "clamp", "norm_epsilon", "time_scales"),
    ),
    "core.memory": ("enabled", "width", "scope", "momentum", "rate", "buffer_rate"),
    "core.head": ("hidden", "dropout", "norm_epsilon"),
}
"""The settings whose every value the native loop computes, or :func:`unsupported` names, or no tick depends on.

A setting that is not here is one that the loop does not compute: away from its default the eager loop runs.
"""


class Choice(NamedTuple):
    """The library to run, None for the eager loop, and a few words that say which of the two and why."""

    library: Library | None
    reason: str


def choose(
    core: object,
    like: Tensor,
    *,
    recorded: bool = False,
    altered: bool = False,
    together: bool = True,
    difference: Callable[[Library], str | None] = lambda _: None,
) -> Choice:
    """Decide for one forward pass of a core's configuration, on the device and in the type of ``like``.

    ``recorded``: the pass records more of a tick than the read-out needs; ``altered``: a tick is not computed as
    written, or somebody watches its parts; ``together``: all samples began at the same tick; ``difference`` compares
    the library with the model and says what differs. The variable
    ``TIDE_NATIVE`` switches the native loop off (0) or makes its absence an error (require). The first call compiles.
    Raises :class:`InputError` for another value of the variable, and where the native loop is required but cannot be
    for this model on this machine.
    """
    setting = os.environ.get(VARIABLE, "")
    if setting not in ("", "0", "require"):
        raise InputError(f"{VARIABLE} must be 0 (off), require or empty (automatic), got {setting!r}")
    if setting == "0":
        return _eager(f"{VARIABLE} is 0")
    if not isinstance(core, CoreConfig):
        return _eager(f"core {getattr(core, 'kind', core)} has no native loop")
    obstacle = unsupported(core, like)
    if obstacle is None:
        if (reason := _beyond(recorded=recorded, altered=altered, together=together)) is not None:
            return _eager(reason)
        library = load(torch.float32)
        obstacle = difference(library) if isinstance(library, Library) else str(library)
        if isinstance(library, Library) and obstacle is None:
            return Choice(library, "native")
    assert obstacle is not None
    if setting == "require":
        raise InputError(f"{VARIABLE} is require, but {obstacle}; unset it for the eager loop over ticks")
    return _eager(obstacle)


def unsupported(core: CoreConfig, like: Tensor) -> str | None:
    """Return what of a model the native loop does not cover, None if it covers all of it."""
    if like.device.type != "cpu":
        return f"the native loop is for CPUs, not for device {like.device.type}"
    if like.dtype != torch.float32:
        return f"the native loop is for float32, not for {str(like.dtype).removeprefix('torch.')}"
    if not core.attends:
        return "the native loop reads its input by attention"
    if core.activation != "relu":
        return f"the native loop has no core.activation {core.activation}"
    if core.norm not in NORMS:
        return f"the native loop has no core.norm {core.norm}"
    unknown = unknown_setting(core)
    return None if unknown is None else f"the native loop does not know {unknown}"


def unknown_setting(section: Any) -> str | None:
    """Return the first setting that is not in :data:`KNOWN` and has another value than its default, None for none."""
    for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        if dataclasses.is_dataclass(value):
            unknown = unknown_setting(value)
            if unknown is not None:
                return unknown
        elif field.name not in KNOWN.get(section.section, ()):
            factory = field.default_factory
            default = field.default if factory is dataclasses.MISSING else factory()
            if value != default:
                return f"{section.section}.{field.name} {value}"
    return None


def _beyond(*, recorded: bool, altered: bool, together: bool) -> str | None:
    """Return what this pass asks for that only the eager loop does."""
    if recorded:
        return "ticks are recorded"
    if altered:
        return "ticks were compiled or changed, or are watched"
    if not together:
        return "samples began at different ticks"
    if captured():
        return "operations are compiled, traced or transformed"
    if torch.is_autocast_enabled("cpu") or is_in_torch_dispatch_mode():
        return "operations are cast or watched"
    return None


def _eager(reason: str) -> Choice:
    return Choice(None, f"eager: {reason}")

"""Weights that PyTorch's own tools compute or watch: pruning, weight norm, quantisation, hooks.

Such a tool acts when a module is called. Parts of a tick compose their weights once for all ticks, and some modules
only hold weights, so that here its part is done by hand.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

RECOMPUTE = (BasePruningMethod, WeightNorm, SpectralNorm)
"""Hooks that set a weight before a module is called, and read nothing of what it is called with."""


def refresh(module: nn.Module) -> None:
    """Compute the weights of a module and of all in it again, where a hook of :data:`RECOMPUTE` does."""
    for part in module.modules():
        for hook in part._forward_pre_hooks.values():
            if isinstance(hook, RECOMPUTE):
                hook(part, ())


def is_watched(module: nn.Module) -> bool:
    """Whether a hook sees calls of a module or of one in it."""
    return any(
        part._forward_hooks or part._forward_pre_hooks or part._backward_hooks or part._backward_pre_hooks
        for part in module.modules()
    )


def held(module: Any) -> tuple[Tensor, Tensor | None]:
    """Return weight and bias of a module that is never called; of a quantised one the numbers that it stands for.

    Hooks that would see its calls see none, which is told in a warning.
    """
    refresh(module)
    hooks = [*module._forward_pre_hooks.values(), *module._forward_hooks.values(), *module._backward_hooks.values()]
    if any(not isinstance(hook, RECOMPUTE) for hook in hooks):
        warnings.warn(
            f"a hook on a {type(module).__name__} sees nothing, since only its weights are read; hook the part around "
            "it",
            stacklevel=2,
        )
    bias = getattr(module, "bias", None)
    return weight_of(module), bias() if callable(bias) else bias


def weight_of(module: Any) -> Tensor:
    """Return the weight of a module, of a quantised one the numbers that it stands for."""
    weight: Any = module.weight
    found: Tensor = weight().dequantize() if callable(weight) else weight
    return found


@torch.no_grad()
def write_back_(module: nn.Module, name: str, value: Tensor) -> None:
    """Let a weight that is computed have this value: change in place what it is computed from.

    Where that cannot be, a warning says that the value does not hold.
    """
    source = module._parameters.get(f"{name}_orig")
    if source is not None:
        source.copy_(value)
    elif parametrize.is_parametrized(module, name):
        try:
            setattr(module, name, value)
        except (NotImplementedError, RuntimeError, AttributeError, TypeError):
            warnings.warn(
                f"{type(module).__name__}.{name} has a parametrization without right_inverse: its bounds are not kept",
                stacklevel=2,
            )

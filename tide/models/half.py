"""Weights in half precision: half the bytes, for models that travel."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from tide.errors import InputError
from tide.models.thinker import Thinker

HIGHEST = torch.finfo(torch.float16).max


def halved(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict with floating tensors as float16; raises :class:`InputError` where a number is too large."""
    for name, tensor in state.items():
        if tensor.is_floating_point() and not tensor.abs().amax() <= HIGHEST:
            raise InputError(
                f"{name} reaches {float(tensor.abs().amax()):g}, at most {HIGHEST:g} is wanted in half precision"
            )
    return {name: value.half() if value.is_floating_point() else value for name, value in state.items()}


def rounded(model: Thinker) -> Thinker:
    """Return a copy of ``model``, in eval mode, whose weights are exactly what half precision holds of them."""
    twin = copy.deepcopy(model).eval()
    twin.load_state_dict(halved(model.state_dict()))
    return twin

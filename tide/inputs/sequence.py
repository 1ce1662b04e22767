"""Sequences of symbols or numbers as the input of a model."""

from __future__ import annotations

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from tide.config import SequenceConfig
from tide.errors import InputError


def check(values: Tensor, config: SequenceConfig) -> None:
    """Raise :class:`InputError` unless ``values`` are (B, length), float, finite and of the alphabet."""
    if not isinstance(values, Tensor):
        raise InputError(f"sequences are a {type(values).__name__}, a torch.Tensor is wanted: torch.as_tensor(values)")
    if not values.is_floating_point():
        raise InputError(f"sequences are {values.dtype}, float is wanted: values.float()")
    if values.dim() != 2 or values.shape[1] != config.length:
        raise InputError(
            f"sequences have shape {tuple(values.shape)}, (B, {config.length}) is wanted: the model was made for this "
            "length"
        )
    if values.shape[0] == 0:
        raise InputError("the batch holds 0 sequences, 1 or more are wanted")
    if torch.compiler.is_compiling() or values.is_meta or isinstance(values, FakeTensor):
        return
    if not bool(values.isfinite().all()):
        raise InputError("sequences hold NaN or infinite numbers, finite ones are wanted: clean the data")
    if config.alphabet:
        foreign = ~torch.isin(values, values.new_tensor(config.alphabet))
        if bool(foreign.any()):
            known = ", ".join(f"{symbol:g}" for symbol in config.alphabet)
            met = float(values[foreign][0])
            raise InputError(f"a symbol is {met:g}, one of {known} is wanted: it is not in the alphabet")


def example(config: SequenceConfig, batch: int) -> Tensor:
    """Return sequences of the first symbol, or of zeros."""
    return torch.full((batch, config.length), config.alphabet[0] if config.alphabet else 0.0)

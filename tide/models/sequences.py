"""What a model of sequences accepts."""

from __future__ import annotations

import torch
from torch import Tensor

from tide.errors import InputError


def check_sequence(values: Tensor, length: int, alphabet: tuple[float, ...] = ()) -> None:
    """Raise :class:`InputError` unless ``values`` are finite sequences (B, length), float, of the alphabet's symbols.

    An empty alphabet takes any numbers.
    """
    if not isinstance(values, Tensor):
        raise InputError(f"sequences are a {type(values).__name__}, a torch.Tensor is wanted: torch.as_tensor(values)")
    if not values.is_floating_point():
        raise InputError(f"sequences are {values.dtype}, float is wanted: values.float()")
    if values.dim() != 2 or values.shape[1] != length:
        raise InputError(f"sequences have shape {tuple(values.shape)}, (B, {length}) is wanted: this model's length")
    if values.shape[0] == 0:
        raise InputError("the batch holds 0 sequences, 1 or more are wanted")
    # Reading values back would break a compiled graph; torch's meta device has none.
    if torch.compiler.is_compiling() or values.is_meta:
        return
    if not bool(values.isfinite().all()):
        raise InputError("sequences hold NaN or infinite numbers, finite ones are wanted: clean the data")
    if alphabet:
        strange = ~torch.isin(values, values.new_tensor(alphabet))
        if bool(strange.any()):
            row, place = strange.nonzero()[0].tolist()
            raise InputError(
                f"sequence {row} holds {float(values[row, place]):g} at {place}, one of "
                f"{', '.join(f'{symbol:g}' for symbol in alphabet)} is wanted"
            )


def symbols(values: Tensor, alphabet: tuple[float, ...]) -> Tensor:
    """Return the number of each symbol in the alphabet, int64, of the shape of ``values``."""
    return (values[..., None] == values.new_tensor(alphabet)).int().argmax(-1)

"""The training order as a pure function of the seed and the step, so that resuming needs no state."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import torch
from torch import Tensor

from tide.data.arguments import check_at_least


def derive_seed(*integers: int) -> int:
    """Mix integers of any size and sign into one seed in 0..2**63-1.

    The result depends on every integer and on their order and number, and is the same on every machine and with
    every version of the library.
    """
    text = ",".join(str(int(integer)) for integer in integers)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def batch_indices(count: int, batch: int, step: int, seed: int) -> Tensor:
    """Return which samples make up one training batch.

    The batches are consecutive pieces of one endless stream: a permutation of all samples for each epoch, one after
    the other. Where ``count`` is no multiple of ``batch``, a batch takes the end of one epoch and the start of the
    next, so that every sample is used exactly once in each epoch.

    Args:
        count: number of samples, at least 1.
        batch: samples in a batch, at least 1; may exceed ``count``.
        step: number of the batch, from 0.
        seed: any integer; with the number of the epoch it determines the permutation of that epoch.

    Returns:
        Sample numbers 0..count-1, int64, shape (batch,), on the CPU.

    Raises:
        DataError: ``count``, ``batch`` or ``step`` is out of range.
    """
    check_at_least(("count", count, 1), ("batch", batch, 1), ("step", step, 0))
    pieces = []
    position, end = step * batch, (step + 1) * batch
    while position < end:
        epoch, offset = divmod(position, count)
        piece = _permutation(count, epoch, seed)[offset : offset + end - position]
        pieces.append(piece)
        position += len(piece)
    return torch.cat(pieces)


@lru_cache(maxsize=2)
def _permutation(count: int, epoch: int, seed: int) -> Tensor:
    # Drawing an epoch anew for each of its batches would cost more than the batches; two are kept for the crossing.
    return torch.randperm(count, generator=torch.Generator().manual_seed(derive_seed(seed, epoch)))

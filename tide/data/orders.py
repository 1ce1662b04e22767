"""Training orders as pure functions of the seed and the step, so that resuming needs no state."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from tide.data.checks import check_at_least
from tide.errors import DataError


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


class StreamOrder:
    """The photos of every lane, in an endless order that reads each row group once in an epoch.

    Row groups are dealt out to lanes once, in random order. A lane goes through its own in a new random order in each
    of its epochs. It takes as many as ``buffer`` photos need, shuffles these, and goes on to the next row groups.
    A micro-batch of each step belongs to each lane, so the order depends neither on how many processes share the lanes
    nor on where a run was resumed, and a process reads what its own lanes need and nothing else.
    """

    def __init__(self, sizes: Sequence[int], lanes: int, buffer: int, seed: int) -> None:
        """Deal out row groups.

        Args:
            sizes: the number of photos in each row group, at least 1.
            lanes: number of lanes, at least 1.
            buffer: photos of a lane that are shuffled together, at least 1.
            seed: any integer.

        Raises:
            DataError: there are fewer row groups than lanes, or a number is out of range.
        """
        check_at_least(("lanes", lanes, 1), ("buffer", buffer, 1))
        if len(sizes) < lanes:
            raise DataError(
                f"there are {len(sizes)} row groups, at least {lanes} are wanted, one for each micro-batch of a "
                "step: lower train.accumulation, or set data.shuffle_buffer to 0"
            )
        self.buffer, self.seed = buffer, seed
        counts = torch.tensor(sizes)
        self._ends = counts.cumsum(0)
        self._starts = self._ends - counts
        dealt = torch.randperm(len(sizes), generator=torch.Generator().manual_seed(derive_seed(seed)))
        self._groups = [dealt[lane::lanes] for lane in range(lanes)]
        self._sizes = [int(counts[groups].sum()) for groups in self._groups]
        self._epoch = lru_cache(maxsize=2 * lanes)(self._draw)  # two each, for the crossing

    def positions(self, lane: int, start: int, count: int) -> Tensor:
        """Return the photos from place ``start`` of a lane on, int64 (count,), on the CPU.

        Args:
            lane: number of the lane, from 0.
            start: place in the endless order of the lane, at least 0.
            count: how many, at least 1.
        """
        pieces, end = [], start + count
        while start < end:
            epoch, offset = divmod(start, self._sizes[lane])
            piece = self._epoch(lane, epoch)[offset : offset + end - start]
            pieces.append(piece)
            start += len(piece)
        return torch.cat(pieces)

    def _draw(self, lane: int, epoch: int) -> Tensor:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, lane, epoch))
        groups = self._groups[lane]
        order: list[Tensor] = []
        held: list[Tensor] = []
        for group in groups[torch.randperm(len(groups), generator=generator)].tolist():
            held.append(torch.arange(int(self._starts[group]), int(self._ends[group])))
            if sum(map(len, held)) >= self.buffer:
                order.append(_shuffled(held, generator))
                held = []
        if held:
            order.append(_shuffled(held, generator))
        return torch.cat(order)


def _shuffled(pieces: list[Tensor], generator: torch.Generator) -> Tensor:
    together = torch.cat(pieces)
    return together[torch.randperm(len(together), generator=generator)]

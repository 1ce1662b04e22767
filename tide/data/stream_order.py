"""A training order for data that are read in row groups, as a pure function of the seed and the place in it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from tide.data.arguments import check_at_least
from tide.data.batches import derive_seed
from tide.errors import DataError


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
                f"{len(sizes)} row groups met, at least {lanes} wanted, one for each micro-batch of a "
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

"""Memory that is used again: what a training step saves for its backward pass is as large at the next step.

Fresh memory costs a page fault for every 4 KiB that are first touched, some 18,000 in a step of preset ``mnist``.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Mapping
from math import prod
from threading import Lock

import numpy as np
import torch
from torch import Tensor

ALIGNMENT = 64  # bytes: a row of sixteen float32
BLOCK = 2**21  # sizes are rounded up to this many bytes, so that nearly equal needs share a block

Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]


class Workspace:
    """Lends blocks of memory as tensors; a block comes back when the last tensor that views it is gone.

    Whoever holds a tensor keeps its block, so any number of graphs may be alive at once. What lies idle is never more
    than was lent at once before.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._free: list[Bytes] = []
        self._returned: deque[Bytes] = deque()
        self._lent = self._most = 0

    def tensors(self, shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype) -> dict[str, Tensor]:
        """Return uninitialised tensors of these shapes that share one block."""
        return views(self.block(shapes, dtype), shapes)

    def block(self, shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype) -> Tensor:
        """Return one uninitialised tensor that :func:`views` cuts into tensors of these shapes."""
        count = sum(_places(shape) for shape in shapes.values())
        raw = self._take(max(1, count) * dtype.itemsize)
        # A view of its own: the storage keeps it alive, and its end is the end of the storage.
        held = raw[:]
        weakref.finalize(held, self._returned.append, raw).atexit = False
        return torch.from_numpy(held).view(dtype)[:count]

    def _take(self, size: int) -> Bytes:
        size = -(-size // BLOCK) * BLOCK
        with self._lock:
            while self._returned:  # finalisers only append: they may run anywhere, also while the lock is held
                block = self._returned.popleft()
                self._lent -= block.nbytes
                self._free.append(block)
            fitting = next((at for at, block in enumerate(self._free) if block.nbytes == size), None)
            taken = self._free.pop(fitting) if fitting is not None else None
            self._lent += size
            self._most = max(self._most, self._lent)
            while sum(block.nbytes for block in self._free) > self._most:
                self._free.pop(0)
        return taken if taken is not None else np.empty(size, np.uint8)


def views(block: Tensor, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Cut a block into named tensors, in order."""
    found, at = {}, 0
    for name, shape in shapes.items():
        found[name] = block[at : at + prod(shape)].view(shape)
        at += _places(shape)
    return found


def _places(shape: tuple[int, ...]) -> int:
    return -(-prod(shape) // ALIGNMENT) * ALIGNMENT


workspace = Workspace()

"""The compiled library: loaded once per process, called on as many threads as torch uses."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from threading import Thread
from typing import Any

import torch
from torch import Tensor

from tide.native.arguments import Call
from tide.native.compiler import NativeError, compiled

LANES = 16  # samples in a panel

REALS = {torch.float32: "float", torch.float64: "double"}


class Library:
    """The functions of ``source/ticks.cpp``; ctypes lets go of Python's lock while they run."""

    def __init__(self, path: str) -> None:
        try:
            self._library = ctypes.CDLL(path)
            self._library.tide_call_bytes.restype = ctypes.c_int64
            same = self._library.tide_call_bytes() == ctypes.sizeof(Call)
        except (OSError, AttributeError) as error:
            raise NativeError(f"{path} cannot be loaded: {' '.join(str(error).split())}") from error
        if not same:
            raise NativeError(f"{path} was compiled from a source with other structures: reinstall tide-dynamics")
        for name in ("tide_forward", "tide_backward", "tide_neuron_weights", "tide_compact"):
            getattr(self._library, name).restype = None

    def forward(self, call: Call, panels: int, *, slots: int | None = None) -> None:
        """Run panels through their ticks, each in a slot of its own, or on ``slots`` threads with one slot each."""
        self._shared(self._library.tide_forward, call, panels, slots)

    def backward(self, call: Call, panels: int, neurons: int) -> None:
        """Run panels backward, then collect the gradients of the neuron models (``neurons`` of them)."""
        self._shared(self._library.tide_backward, call, panels)
        if neurons:
            self._shared(self._library.tide_neuron_weights, call, neurons)

    def compact(self, rows: Tensor, source: Tensor) -> None:
        """Move lanes in place: lane i of ``rows`` (panels, groups, features, 16) takes over lane ``source[i]`` ≥ i."""
        _, groups, features, _ = rows.shape
        strides = [ctypes.c_int64(rows.stride(dim)) for dim in (0, 1)]
        self._library.tide_compact(
            ctypes.c_void_p(rows.data_ptr()),
            ctypes.c_int64(groups),
            ctypes.c_int64(features),
            *strides,
            ctypes.c_void_p(source.data_ptr()),
            ctypes.c_int64(len(source)),
        )

    @staticmethod
    def _shared(function: Callable[..., Any], call: Call, count: int, slots: int | None = None) -> None:
        """Share ``count`` pieces out to ``slots`` threads, to as many as torch uses where None."""
        threads = threads_for(count) if slots is None else slots
        cuts = [count * number // threads for number in range(threads + 1)]

        def run(number: int) -> None:
            first, slot = cuts[number], -1 if slots is None else number
            function(
                ctypes.byref(call),
                ctypes.c_int64(first),
                ctypes.c_int64(cuts[number + 1] - first),
                ctypes.c_int64(slot),
            )

        others = [Thread(target=run, args=(number,)) for number in range(1, threads)]
        for other in others:
            other.start()
        try:
            run(0)
        finally:
            _wait_for(others)


def _wait_for(threads: list[Thread]) -> None:
    """Wait for all, whatever the user presses meanwhile: they write into memory that is freed afterwards."""
    interrupt: KeyboardInterrupt | None = None
    for thread in threads:
        while thread.is_alive():
            try:
                thread.join()
            except KeyboardInterrupt as error:
                interrupt = error
    if interrupt is not None:
        raise interrupt


def threads_for(count: int) -> int:
    """Return the number of threads that ``count`` pieces are shared out to."""
    return max(1, min(torch.get_num_threads(), count))


@cache
def load(dtype: torch.dtype) -> Library | NativeError:
    """Return the library for numbers of ``dtype``, or why there is none; tried once per process."""
    try:
        return Library(str(compiled(REALS[dtype])))
    except NativeError as error:
        return error

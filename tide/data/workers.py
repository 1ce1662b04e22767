"""Batches of PyTorch's DataLoader in the order of the requests, and an end without traces whatever happens."""

from __future__ import annotations

import signal
import threading
import warnings
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from tide.device import STOPS
from tide.errors import DataError, one_line

Sample = TypeVar("Sample")
Stack = TypeVar("Stack")

PREFETCH = 2  # batches that wait at each worker, PyTorch's own number


def prefetch(
    dataset: Dataset[Sample], requests: Iterator[list[Any]], stack: Callable[[list[Sample]], Stack], workers: int
) -> Generator[Stack, None, None]:
    """Yield ``stack([dataset[key] for key in request])`` for each request, in order, computed ahead by processes.

    The processes start with the first batch that is asked for and live until the generator ends, is closed or let go
    of. Ctrl-C and a request to terminate do not reach them: what they mean is for the main process to decide. Requests
    are taken ``2 * workers`` ahead of the batches and may be endless; an error that they raise comes after the batches
    of the requests before it. With no workers all happens in this process.
    Raises :class:`DataError` where a process died or ran out of memory.
    """
    failures: list[Exception] = []

    def until_failure() -> Iterator[list[Any]]:
        # An error while PyTorch starts its processes would leave it half made.
        try:
            yield from requests
        except Exception as failure:
            failures.append(failure)

    with _undisturbed():
        loader = DataLoader(
            dataset,
            batch_sampler=until_failure(),
            collate_fn=stack,
            num_workers=workers,
            prefetch_factor=PREFETCH if workers else None,
            worker_init_fn=_ignore_signals,
            # PyTorch seeds its workers, although nothing here is left to that; its own numbers shall not move for it.
            generator=torch.Generator(),
        )
        iterator: Any = iter(loader)
    processes: Sequence[BaseProcess] = getattr(iterator, "_workers", ())
    # Also called when the program ends while the generator is alive: PyTorch would wait for each worker for seconds.
    kill = weakref.finalize(iterator, _kill, processes)
    try:
        while True:
            try:
                batch = next(iterator, None)
            except MemoryError as error:
                raise DataError(
                    f"no memory left with {workers} workers; use fewer workers or a smaller batch"
                ) from error
            except (RuntimeError, OSError, EOFError) as error:
                alive = all(process.is_alive() for process in processes)
                if alive and (isinstance(error, RuntimeError) or not processes):
                    raise  # a mistake in what they compute; else a connection broke, or PyTorch found one dead
                raise DataError(
                    f"a worker process died ({one_line(error)}); if memory ran out, use fewer workers or "
                    "a smaller batch"
                ) from error
            if batch is None:
                if failures:
                    raise failures[0]
                return
            yield batch
    finally:
        if processes:
            iterator._shutdown_workers()
        kill()


def _ignore_signals(worker: int) -> None:
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Start processes that Ctrl-C cannot hit before they ignore it, and that do not interrupt this one by dying.

    PyTorch lets the death of a worker raise an error wherever the main process is, such as in the middle of a
    training step. Here a death shows when the next batch is taken, and the signal's handler is put back.
    """
    with warnings.catch_warnings():
        # It also advises fewer workers on few cores, but how many there are was somebody's choice.
        warnings.filterwarnings("ignore", "This DataLoader will create")
        if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
            yield
            return
        handler = signal.getsignal(signal.SIGCHLD)
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:
            yield
        finally:
            if handler is not None:
                signal.signal(signal.SIGCHLD, handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _kill(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        if process.is_alive():
            process.kill()
            process.join()

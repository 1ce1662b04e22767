"""Results of worker processes in the order of the requests, and an end without traces whatever happens."""

from __future__ import annotations

import atexit
import signal
import sys
import threading
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from tide.errors import DataError

Result = TypeVar("Result")

_AHEAD = 2  # requests that wait at each worker, as PyTorch does it
_DEATH_SHOWS = 1.0  # seconds after which a process whose connection broke is known to be dead


def prefetch(dataset: Dataset[Result], requests: Iterator[Any], workers: int) -> Generator[Result, None, None]:
    """Yield ``dataset[request]`` for each request, in order, computed ahead by worker processes.

    The processes start with the first result that is asked for. Ctrl-C and a request to terminate do not reach them:
    what they mean is for the main process to decide. They end when the generator ends, is closed or let go of.

    Args:
        dataset: is called with each request; its results go from one process to another.
        requests: taken ahead of the results, ``2 * workers`` at most. An error that they raise comes after the results
            of the requests before it.
        workers: number of processes; with 0 all happens in this one.

    Raises:
        DataError: a process died or ran out of memory.
    """
    failures: list[Exception] = []
    with _undisturbed():
        loader = DataLoader(
            dataset,
            sampler=_until_failure(requests, failures),
            batch_size=None,  # a request is a batch already
            collate_fn=_as_it_is,
            num_workers=workers,
            prefetch_factor=_AHEAD if workers else None,
            worker_init_fn=_begin_worker,
            # PyTorch seeds its workers, although nothing here is left to that; its own numbers shall not move for it.
            generator=torch.Generator(),
        )
        iterator: Any = iter(loader)
    processes: Sequence[BaseProcess] = getattr(iterator, "_workers", ())
    # Without this a program that ends while the generator is alive would wait for each worker for seconds.
    kill = partial(_kill, processes)
    atexit.register(kill)
    ending = sys.is_finalizing  # kept here: when a program ends, what a module holds may be gone before a generator is
    try:
        while True:
            try:
                _check_alive(processes)
                result = next(iterator)
            except StopIteration:
                if failures:
                    raise failures[0] from None
                return
            except MemoryError as error:
                raise DataError(
                    f"no memory left for photos with {workers} workers, enough for all is wanted: "
                    "use fewer workers or a smaller batch"
                ) from error
            except (RuntimeError, OSError, EOFError) as error:
                # The connection to a process that was killed may break before the process counts as dead.
                for process in processes:
                    process.join(_DEATH_SHOWS / len(processes))
                _check_alive(processes, error)
                raise
            yield result
    finally:
        if not ending():  # else the processes have been killed
            atexit.unregister(kill)
            if processes:
                iterator._shutdown_workers()
            _kill(processes)


def _until_failure(requests: Iterator[Any], failures: list[Exception]) -> Iterator[Any]:
    try:
        yield from requests
    except Exception as failure:
        failures.append(failure)


def _as_it_is(result: Result) -> Result:
    return result


def _begin_worker(number: int) -> None:
    torch.set_num_threads(1)
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Start processes that Ctrl-C cannot hit before they ignore it, and that do not interrupt this one by dying.

    PyTorch lets the death of a worker raise an error wherever the main process is, such as in the middle of a
    training step. Here a death is looked for when the next batch is wanted, and the signal's handler is put back.
    """
    with warnings.catch_warnings():
        # It also advises fewer workers on few cores, but how many there are was somebody's choice.
        warnings.filterwarnings("ignore", "This DataLoader will create")
        if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
            yield
            return
        handler = signal.getsignal(signal.SIGCHLD)
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            yield
        finally:
            if handler is not None:
                signal.signal(signal.SIGCHLD, handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _check_alive(processes: Sequence[BaseProcess], cause: BaseException | None = None) -> None:
    """Raise DataError if one of the worker processes has ended."""
    for process in processes:
        if not process.is_alive():
            code = process.exitcode or 0
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
            raise DataError(
                f"loader worker {process.pid} {how}, {len(processes)} running workers are wanted: "
                "if memory ran out, use fewer workers or a smaller batch"
            ) from cause


def _kill(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        if process.is_alive():
            process.kill()
            process.join()

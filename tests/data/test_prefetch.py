"""Worker processes: their order, their deaths, their end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from tide.data.photos.workers import prefetch

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no signals to kill with")


class Doing(Dataset[Any]):
    """Does what a request says."""

    def __getitem__(self, request: Any) -> Any:
        match request:
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit":
                os._exit(3)
            case "starve":
                raise MemoryError
            case "fail":
                raise ArithmeticError("a mistake")
            case "break":
                raise RuntimeError("a mistake")
            case "threads":
                return torch.get_num_threads()
            case "tensor":
                return torch.full((1000,), 7)
            case float():
                time.sleep(request)
        return request


@pytest.fixture(autouse=True)
def none_remains() -> Iterator[None]:
    """No test leaves a process behind."""
    yield
    assert not multiprocessing.active_children()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch looks for dead workers every fifth of a second while it waits, and not every five seconds."""
    monkeypatch.setattr(_MultiProcessingDataLoaderIter._try_get_data, "__defaults__", (0.2,))


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_results_come_in_order(workers):
    wanted = [0.05, 1, 0.02, 2, 3]
    assert list(prefetch(Doing(), iter(wanted), workers)) == wanted
    assert list(prefetch(Doing(), iter([]), workers)) == []


def test_workers_have_one_thread_and_pass_tensors():
    threads, tensor = prefetch(Doing(), iter(["threads", "tensor"]), 1)
    assert threads == 1
    assert tensor.sum() == 7000


def test_more_workers_than_cores_are_taken_without_a_word(monkeypatch, recwarn):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)
    assert list(prefetch(Doing(), iter([1, 2]), 2)) == [1, 2]
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.parametrize(("how", "part"), [("die", "was killed by SIGKILL"), ("exit", "ended with code 3")])
def test_a_death_while_waiting_is_one_line(how, part, refuses, impatient):
    began = time.monotonic()
    with refuses("loader worker", part, "2 running workers", "use fewer workers"):
        list(prefetch(Doing(), iter([1, 2, how, 3]), 2))
    assert time.monotonic() - began < 5


def test_a_death_between_two_batches_waits_for_the_next(refuses):
    handler = signal.getsignal(signal.SIGCHLD)
    stream = prefetch(Doing(), iter(range(100)), 2)
    assert next(stream) == 0
    assert signal.getsignal(signal.SIGCHLD) is handler
    victim = multiprocessing.active_children()[0]
    os.kill(victim.pid, signal.SIGKILL)
    victim.join(5)  # this process goes on undisturbed until it wants more
    with refuses(f"loader worker {victim.pid} was killed by SIGKILL"):
        next(stream)


@pytest.mark.parametrize("workers", [0, 1])
def test_no_memory_is_one_line(workers, refuses):
    with refuses("no memory left", f"{workers} workers"):
        list(prefetch(Doing(), iter(["starve"]), workers))


@pytest.mark.parametrize(("how", "kind"), [("fail", ArithmeticError), ("break", RuntimeError)])
@pytest.mark.parametrize("workers", [0, 1])
def test_mistakes_are_not_hidden(how, kind, workers, monkeypatch):
    monkeypatch.setattr("tide.data.photos.workers._DEATH_SHOWS", 0.1)
    with pytest.raises(kind, match="a mistake"):
        list(prefetch(Doing(), iter([how]), workers))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_failure_of_the_requests_comes_after_the_results_before_it(workers):
    def failing() -> Iterator[int]:
        yield 1
        raise LookupError("no more")

    stream = prefetch(Doing(), failing(), workers)
    assert next(stream) == 1
    with pytest.raises(LookupError, match="no more"):
        next(stream)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_workers_go_on_when_the_main_process_is_asked_to_stop(number):
    stream = prefetch(Doing(), iter(range(20)), 2)
    assert next(stream) == 0
    for process in multiprocessing.active_children():
        os.kill(process.pid, number)
    assert list(stream) == list(range(1, 20))


@pytest.mark.parametrize("end", ["close", "drop", "finish"])
def test_no_process_remains(end):
    stream = prefetch(Doing(), iter(range(9)), 2)
    next(stream)
    assert len(multiprocessing.active_children()) == 2
    if end == "close":
        stream.close()
    elif end == "finish":
        list(stream)
    else:
        del stream
    assert not multiprocessing.active_children()


SCRIPT = """
import atexit, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests were started in the background
sys.path.insert(0, sys.argv[1])
from test_prefetch import Doing, prefetch
alive = prefetch(Doing(), iter(range(9)), 1)  # until the very end of the program
stream = prefetch(Doing(), iter([1] + [0.1] * 1000), 2)
next(alive), next(stream)
try:
    os.killpg(0, signal.SIGINT)  # as a terminal does it: to all processes of the group at once
    list(stream)
except KeyboardInterrupt:
    atexit.unregister = None  # modules may come to their end before generators do
    sys.exit(130)
"""


def test_ctrl_c_and_the_end_of_the_program_are_quiet_and_quick():
    began = time.monotonic()
    command = [sys.executable, "-c", SCRIPT, Path(__file__).parent]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, start_new_session=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
    assert time.monotonic() - began < 30

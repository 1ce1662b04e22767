"""Worker processes: the order of their batches, their deaths, their end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from torch.utils.data import Dataset
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from tide.data.workers import prefetch
from tide.device import STOPS

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no signals to kill with")


class Doing(Dataset[Any]):
    """Does what a key says."""

    def __getitem__(self, key: Any) -> Any:
        match key:
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "starve":
                raise MemoryError
            case "fail":
                raise ArithmeticError("a mistake")
            case "break":
                raise RuntimeError("a mistake")
            case float():
                time.sleep(key)
        return key


def results(keys: Iterable[Any], workers: int) -> Generator[list[Any], None, None]:
    return prefetch(Doing(), ([key] for key in keys), list, workers)


@pytest.fixture(autouse=True)
def none_remains() -> Iterator[None]:
    """No test leaves a process behind."""
    yield
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_come_in_order(workers, recwarn):
    assert list(results([0.05, 1, 0.02, 2, 3], workers)) == [[0.05], [1], [0.02], [2], [3]]
    assert list(results([], workers)) == []
    assert [str(warning.message) for warning in recwarn] == []


def test_a_death_is_one_line_when_the_next_batch_is_taken(refuses, monkeypatch):
    # PyTorch looks for dead workers every five seconds while it waits.
    monkeypatch.setattr(_MultiProcessingDataLoaderIter._try_get_data, "__defaults__", (0.2,))
    handler = signal.getsignal(signal.SIGCHLD)
    with refuses("a worker process died", "use fewer workers"):
        list(results([1, 2, "die", 3], 2))
    stream = results(range(100), 2)
    assert next(stream) == [0]
    assert signal.getsignal(signal.SIGCHLD) is handler
    victim = multiprocessing.active_children()[0]
    os.kill(victim.pid, signal.SIGKILL)
    victim.join(5)  # this process goes on undisturbed until it takes more
    with refuses("a worker process died"):
        list(stream)


@pytest.mark.parametrize("workers", [0, 1])
def test_no_memory_is_one_line_and_mistakes_are_not_hidden(workers, refuses):
    with refuses("no memory left", f"{workers} workers"):
        list(results(["starve"], workers))
    for key, kind in (("fail", ArithmeticError), ("break", RuntimeError)):
        with pytest.raises(kind, match="a mistake"):
            list(results([key], workers))


@pytest.mark.parametrize("number", STOPS)
def test_workers_go_on_when_the_main_process_is_asked_to_stop(number):
    stream = results(range(20), 2)
    assert next(stream) == [0]
    for process in multiprocessing.active_children():
        os.kill(process.pid, number)
    assert list(stream) == [[number] for number in range(1, 20)]


@pytest.mark.parametrize("end", ["close", "drop", "finish"])
def test_no_process_remains(end):
    stream = results(range(9), 2)
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
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests were started in the background
sys.path.insert(0, sys.argv[1])
from test_workers import results
alive = results(range(9), 1)  # until the very end of the program
stream = results([1] + [0.1] * 1000, 2)
next(alive), next(stream)
try:
    os.killpg(0, signal.SIGINT)  # as a terminal does it: to all processes of the group at once
    list(stream)
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_ctrl_c_and_the_end_of_the_program_are_quiet_and_quick():
    began = time.monotonic()
    command = [sys.executable, "-c", SCRIPT, Path(__file__).parent]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, start_new_session=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
    assert time.monotonic() - began < 30

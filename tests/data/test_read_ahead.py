"""Reading ahead in a thread: in order, no further than asked, and an end without traces."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from tide.data.hub.read_ahead import read_ahead


@pytest.fixture(autouse=True)
def none_remains() -> Iterator[None]:
    """No test leaves a thread behind."""
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "read-ahead"]


def counted(taken: list[int], last: int) -> Iterator[int]:
    for number in range(last):
        taken.append(number)
        yield number


def test_items_come_in_order_from_another_thread():
    names = (threading.current_thread().name for _ in range(3))
    assert list(read_ahead(names, 2)) == ["read-ahead"] * 3
    assert list(read_ahead(iter(range(50)), 3)) == list(range(50))
    assert list(read_ahead(iter(()), 1)) == []


def test_reads_as_far_ahead_as_asked_and_no_further():
    taken: list[int] = []
    items = read_ahead(counted(taken, 100), 4)
    assert next(items) == 0
    deadline = time.monotonic() + 10
    while len(taken) < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    assert len(taken) == 1 + 4 + 1  # used, waiting, in hand
    items.close()
    assert len(taken) == 6


def test_nothing_is_read_before_the_first_is_wanted():
    taken: list[int] = []
    items = read_ahead(counted(taken, 3), 2)
    time.sleep(0.1)
    assert taken == []
    items.close()


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()])
def test_an_error_comes_after_the_items_before_it(error):
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise error

    ahead = read_ahead(items(), 5)
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(type(error)):
        next(ahead)


def test_closing_does_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr("tide.data.hub.read_ahead._LEAVES_WITHIN", 0.2)
    release = threading.Event()

    def stuck() -> Iterator[int]:
        yield 1
        release.wait(20)

    items = read_ahead(stuck(), 2)
    next(items)
    began = time.monotonic()
    items.close()
    assert time.monotonic() - began < 5
    release.set()
    for thread in threading.enumerate():
        if thread.name == "read-ahead":
            thread.join(10)

"""Reading ahead in a thread, for what waits for a disk or a network."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from queue import Full, Queue
from typing import TypeVar

Item = TypeVar("Item")

_LOOKS_UP = 0.1  # seconds between two looks at whether there is still somebody to read for
_LEAVES_WITHIN = 5.0  # seconds to wait at the end: a second Ctrl-C shall not have to wait for a network


def read_ahead(items: Iterator[Item], depth: int) -> Generator[Item, None, None]:
    """Yield what ``items`` yields, which a thread takes from it ahead of use.

    The thread starts with the first item that is asked for. It ends when the generator ends, is closed or let go of,
    after the item that it is at; closing waits a few seconds for that. An error of ``items`` comes after the items
    before it.

    Args:
        items: is used by the thread alone.
        depth: items that wait for their use at most, at least 1.
    """
    waiting: Queue[tuple[Item | None, BaseException | None]] = Queue(depth)
    unwanted = threading.Event()

    def put(item: Item | None, error: BaseException | None = None) -> None:
        while not unwanted.is_set():
            try:
                return waiting.put((item, error), timeout=_LOOKS_UP)
            except Full:
                continue

    def read() -> None:
        try:
            for item in items:
                put(item)
                if unwanted.is_set():
                    return
            put(None, StopIteration())
        except BaseException as error:  # else the other side would wait forever
            put(None, error)

    thread = threading.Thread(target=read, name="read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]
    finally:
        unwanted.set()
        thread.join(_LEAVES_WITHIN)

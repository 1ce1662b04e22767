"""Ctrl-C, SIGTERM and SIGHUP: the first asks training to stop after the current step, a second stops at once."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

PARENT = "TIDE_PARENT"
"""Environment variable that names the process, a study, that a run was started by and ends with."""

HANGUP: signal.Signals = getattr(signal, "SIGHUP", signal.SIGTERM)


PATIENCE = 60.0  # seconds in which a run whose study is gone ends its step, saves and leaves


def patience() -> float:
    """Return for how long to wait for another writer of a run, in seconds: a study waits for its predecessor's runs."""
    return PATIENCE if os.environ.get(PARENT) else 0.0


class StopRequest:
    """A context in which SIGINT, SIGTERM and SIGHUP set :attr:`received` in place of ending the process.

    A signal that is ignored when the context begins stays so: that is how ``nohup`` lets a run outlive its terminal.
    """

    def __init__(self) -> None:
        self._received: signal.Signals | None = None
        self._previous: dict[signal.Signals, Any] = {}
        parent = os.environ.get(PARENT, "")
        self._parent = int(parent) if parent.isdigit() else None

    @property
    def received(self) -> signal.Signals | None:
        """The signal that asks to stop; SIGHUP where the study that started this run is gone, however it ended."""
        if self._received is None and self._parent is not None and os.getppid() != self._parent:
            self._received = HANGUP
        return self._received

    def __enter__(self) -> Self:
        # Python lets only the main thread install handlers; elsewhere the caller's own handling stays.
        if threading.current_thread() is threading.main_thread():
            for number in dict.fromkeys((signal.SIGINT, signal.SIGTERM, HANGUP)):
                previous = signal.getsignal(number)
                if previous is not signal.SIG_IGN:
                    self._previous[number] = previous
                    signal.signal(number, self._handle)
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None:
            raise KeyboardInterrupt
        self._received = signal.Signals(number)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

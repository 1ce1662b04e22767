"""The progress of long measurements: a bar for people, a line now and then for a file."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from tide.train.report import format_seconds

if TYPE_CHECKING:
    from rich.console import Console

EVERY = 30.0  # seconds between two lines where nobody watches


class Pieces:
    """Shows how many pieces of a work are done, at what rate, and how long the rest will take. Use as a context.

    Where standard error is no terminal, it gets a line at the first piece and then one every :data:`EVERY` seconds.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        """Show on ``console``, by the seconds of ``clock``."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._console, self._clock = console, clock
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("reading", total=None)
        self._first: tuple[float, int] | None = None
        self._told = -EVERY

    def __enter__(self) -> Pieces:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Tell that ``done`` of ``total`` pieces are done and that ``what`` is next."""
        now = self._clock()
        began, before = self._first = self._first or (now, done)
        rate = (done - before) / (now - began) if now > began else 0.0
        pace = f", {60 * rate:.1f} a minute, {format_seconds((total - done) / rate)} left" if rate else ""
        if self._console.is_terminal:
            self._bar.update(self._task, description=what + pace, completed=done, total=total)
        elif now - self._told >= EVERY:
            self._told = now
            self._console.print(f"{done}/{total}: {what}{pace}", soft_wrap=True)

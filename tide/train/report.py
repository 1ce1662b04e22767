"""What a run shows while it goes: a live display on a terminal, a plain log elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Console


class Summary(Protocol):
    """What both reporters show of one step."""

    @property
    def step(self) -> int:
        """Its number."""
        ...

    @property
    def rate(self) -> float:
        """Steps per second."""
        ...

    def text(self) -> str:
        """Return the readings on one line."""
        ...


@dataclass(frozen=True)
class StepSummary:
    """What both reporters show of one step."""

    step: int
    rate: float
    terms: dict[str, float]
    accuracy: float
    ei_ratio: float | None
    perron_ee: float | None
    perron_ii: float | None
    rejected: int

    def text(self) -> str:
        """Return loss terms, training accuracy, E-I ratio and Perron estimates on one line."""
        terms = " ".join(f"{name} {value:.3g}" for name, value in self.terms.items() if name != "total")
        perron = ""
        if self.perron_ee is not None and self.perron_ii is not None:
            perron = f" | ρ̂_EE {self.perron_ee:.2f} ρ̂_II {self.perron_ii:.2f}"
        ratio = f" | E-I {self.ei_ratio:.2f}" if self.ei_ratio is not None else ""
        rejected = f" | {self.rejected} rejected" if self.rejected else ""
        return f"loss {self.terms['total']:.4f} ({terms}) | train {100 * self.accuracy:.1f} %{ratio}{perron}{rejected}"


def format_seconds(seconds: float) -> str:
    """Return seconds as ``h:mm:ss`` or ``m:ss``."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def say(text: str, stream: TextIO) -> None:
    """Print a line; where its reader went away (a pipe, a terminal, a full disk) be silent from then on.

    A training must not end because nobody reads what it says.
    """
    try:
        print(text, file=stream, flush=True)
    except OSError:
        # What is still buffered would fail again when Python ends, and change the exit code.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Reporter(ABC):
    """Shows a run. Use as a context."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *exception: Any) -> None:
        return None

    @abstractmethod
    def reading(self, reading: Summary) -> None:
        """Show one step."""

    @abstractmethod
    def evaluating(self, done: int, total: int) -> None:
        """Show how far an evaluation is."""

    @abstractmethod
    def message(self, text: str, *, alarm: bool = False) -> None:
        """Show a line that stays."""


class PlainReporter(Reporter):
    """A plain log on standard error, at most one line of training every few seconds."""

    INTERVAL = 10.0

    def __init__(self, steps: int) -> None:
        super().__init__(steps)
        self._shown = 0.0

    def reading(self, reading: Summary) -> None:
        """Print one line with step, rate and time left."""
        now = time.monotonic()
        if now - self._shown < self.INTERVAL and reading.step != self.steps:
            return
        self._shown = now
        left = format_seconds((self.steps - reading.step) / reading.rate)
        self.message(f"step {reading.step}/{self.steps} | {reading.rate:.2f} steps/s | {left} left | {reading.text()}")

    def evaluating(self, done: int, total: int) -> None:
        """Print nothing: the result follows."""

    def message(self, text: str, *, alarm: bool = False) -> None:
        """Print a line."""
        say(f"{'ALARM: ' if alarm else ''}{text}", sys.stderr)


class LiveReporter(Reporter):
    """A live display on a terminal: a bar, below it one line of readings, and a second bar during evaluations."""

    def __init__(self, steps: int) -> None:
        super().__init__(steps)
        from rich.console import Console, Group
        from rich.live import Live
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.text import Text

        columns = (
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
        )
        self._progress = Progress(*columns)
        self._training = self._progress.add_task("training", total=steps, rate="")
        self._evaluation = self._progress.add_task("evaluating", total=None, rate="images", visible=False)
        self._details = Text()
        self._live = Live(Group(self._progress, self._details), console=Console(stderr=True), refresh_per_second=4)

    def __enter__(self) -> Reporter:
        self._live.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._live.stop()

    def reading(self, reading: Summary) -> None:
        """Move the bar and renew the line below it."""
        left = format_seconds((self.steps - reading.step) / reading.rate)
        self._progress.update(self._training, completed=reading.step, rate=f"{reading.rate:.2f} steps/s, {left} left")
        self._details.plain = reading.text()

    def evaluating(self, done: int, total: int) -> None:
        """Show a second bar while an evaluation runs."""
        self._progress.update(self._evaluation, completed=done, total=total, visible=done < total)

    def message(self, text: str, *, alarm: bool = False) -> None:
        """Print a line above the bar."""
        self._live.console.print(text, style="bold red" if alarm else None, highlight=False)


class SilentReporter(Reporter):
    """Says nothing: for a process that does not lead."""

    def reading(self, reading: Summary) -> None:
        """Show nothing."""

    def evaluating(self, done: int, total: int) -> None:
        """Show nothing."""

    def message(self, text: str, *, alarm: bool = False) -> None:
        """Show nothing."""


def make_reporter(steps: int) -> Reporter:
    """Return a live display where standard error is a terminal, else a plain log."""
    return LiveReporter(steps) if sys.stderr.isatty() else PlainReporter(steps)


# The progress of long measurements: a bar for people, a line now and then for a file.


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
        self._done = 0
        self._printed = -EVERY

    def __enter__(self) -> Pieces:
        self._bar.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._bar.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Tell that ``done`` of ``total`` pieces are done and that ``what`` is next."""
        now = self._clock()
        if self._first is None or done < self._done:  # another work begins
            self._first = (now, done)
        (began, before), self._done = self._first, done
        rate = (done - before) / (now - began) if now > began else 0.0
        pace = f", {60 * rate:.1f} a minute, {format_seconds((total - done) / rate)} left" if rate else ""
        if self._console.is_terminal:
            self._bar.update(self._task, description=what + pace, completed=done, total=total)
        elif done < total and now - self._printed >= EVERY:
            self._printed = now
            self._console.print(f"{done}/{total}: {what}{pace}", soft_wrap=True)

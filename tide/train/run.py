"""A run: what happens between a folder and its results, whatever is trained (:mod:`tide.train.supervised` is one task).

The run knows steps, logs, evaluations, checkpoints, signals and resuming; the :class:`Task` inside it knows what a step
is, what an evaluation says and which state it needs to go on.
"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from types import FrameType, TracebackType
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar

import torch

from tide.device import STOPS, WARNINGS
from tide.errors import CheckpointError, TrainingError, one_line
from tide.evaluate.answers import Answers
from tide.models.saved import existing, load_weights, read_model
from tide.models.thinker import Thinker
from tide.runs.folder import LOGS, RunFolder
from tide.train.checkpoint import load_training, save_checkpoint
from tide.train.report import Reporter, Summary
from tide.train.team import ALONE, Team

RECENT = 100  # steps over which the rate shown is taken: a machine is not always as busy as it was
PARENT = "TIDE_PARENT"
"""Environment variable that names the process, a study, that a run was started by and ends with."""
HANGUP: signal.Signals = getattr(signal, "SIGHUP", signal.SIGTERM)
PATIENCE = 60.0  # seconds in which a run whose study is gone ends its step, saves and leaves


class Evaluated(NamedTuple):
    """What an evaluation says: the score that "best" is of, numbers for the log, a sentence, answers to keep."""

    score: float
    readings: Mapping[str, Any]
    sentence: str
    answers: Answers | None = None


class Cadence(NamedTuple):
    """How many steps there are, and every how many something happens; 0: never."""

    steps: int
    log: int
    monitor: int
    evaluate: int
    checkpoint: int
    probe: int = 0
    max_rejections: int = 20


class Task(ABC):
    """What is trained in a run. All randomness derives from the seed and the number of the step."""

    score: ClassVar[str] = "accuracy"
    """The reading that the best checkpoint is chosen by."""

    stride: int = 1
    """Steps in logs and messages that one optimiser step counts for."""

    model: Thinker
    device: torch.device
    cadence: Cadence

    @property
    def shown(self) -> Thinker:
        """The model that is evaluated and saved: the one that is trained, or one that follows it."""
        return self.model

    @abstractmethod
    def step(self, number: int) -> bool:
        """Make optimiser step ``number`` (from 0); say whether it was accepted."""

    @abstractmethod
    def loss(self) -> float:
        """Return the loss of the last step."""

    @abstractmethod
    def readings(self, rejected: int) -> dict[str, Any]:
        """Return the last step's numbers for the log; ``rejected`` steps so far are one of them."""

    @abstractmethod
    def summary(self, step: int, rate: float, rejected: int) -> Summary:
        """Return what people are shown of the last step."""

    @abstractmethod
    def evaluate(self, progress: Callable[[int, int], None]) -> Evaluated:
        """Measure the model on all that there is to measure on; ``progress(done, total)`` may raise to stop it."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return what the task needs to go on bit for bit, beside the weights of the model that is shown."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state_dict`; raises CheckpointError for other data than then."""

    @abstractmethod
    def results(self) -> dict[str, Any]:
        """Return what results.json says of the task besides."""

    def monitor(self) -> tuple[dict[str, Any], list[str]]:
        """Return what the stability monitor reads of the last step, and the alarms that begin."""
        return {}, []

    def probe(self) -> dict[str, Any]:
        """Return a small evaluation, for the learning curve."""
        return {}

    def warnings(self) -> list[str]:
        """Return what should be said before the first step."""
        return []

    def close(self) -> None:  # noqa: B027 - most tasks have nothing to end
        """End what works ahead."""


T = TypeVar("T", bound=Task)


@dataclass
class Progress:
    """Where a run stands: saved in every checkpoint."""

    step: int = 0
    evaluated_step: int = 0
    best: float = -math.inf
    best_step: int = 0
    last: float = -math.inf
    rejected: int = 0
    rejected_in_a_row: int = 0
    seconds: float = 0.0

    @classmethod
    def restored(cls, state: Any, steps: int) -> Self:
        """Return the progress that a checkpoint of a run of so many steps holds.

        Raises:
            ValueError: a field is missing, of another type or out of range; TypeError for what is no mapping.
        """
        former = {"best_accuracy": "best", "last_accuracy": "last"}  # the version before had no other score
        state = {former.get(name, name): value for name, value in state.items() if name != "data_crc"}
        progress = cls(**state)
        for field in fields(cls):
            value, whole = getattr(progress, field.name), field.type == "int"
            if type(value) is not int and (whole or type(value) is not float):
                raise ValueError(f"{field.name} must be a {'whole ' * whole}number, got {value!r}")
            score = field.name in ("best", "last")
            if math.isnan(value) or (not score and not 0 <= value < math.inf):
                raise ValueError(f"{field.name} must be {'a number' if score else 'at least 0'}, got {value}")
        for name, most in (("step", steps), ("evaluated_step", progress.step), ("best_step", progress.step)):
            if getattr(progress, name) > most:
                raise ValueError(f"{name} must be at most {most}, got {getattr(progress, name)}")
        return progress


class _Stopped(Exception):
    """Raised inside an evaluation when a stop was asked for."""


class Run(Generic[T]):
    """A task in its folder: steps, logs, evaluations, checkpoints; stopped by a signal, resumed bit for bit."""

    def __init__(self, task: T, folder: RunFolder, reporter: Reporter, *, team: Team = ALONE) -> None:
        """``folder`` is new, or holds a checkpoint to :meth:`resume`."""
        self.task, self.folder, self.reporter, self.team = task, folder, reporter, team
        self.progress = Progress()
        self._recent: deque[float] = deque(maxlen=RECENT)  # seconds of each step

    def resume(self) -> None:
        """Continue from the last checkpoint, bit for bit; a run that ended before its first begins anew.

        Raises :class:`CheckpointError` for a checkpoint that is damaged or of another run, and for other data than the
        run has seen.
        """
        folder = existing(self.folder.last)
        if folder is None:
            self.folder.truncate(dict.fromkeys(LOGS, 0))
            return
        _, weights = read_model(folder)
        load_weights(self.task.shown, weights, folder)
        training = load_training(folder)
        try:
            self.progress = Progress.restored(training["position"], self.task.cadence.steps)
            sizes = training["log_sizes"]
            self.task.load_state_dict(training)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(
                f"{folder} holds the training state of another model or version ({one_line(error)}); it was changed by "
                "hand"
            ) from error
        self.folder.truncate(sizes)

    def fit(self) -> signal.Signals | None:
        """Train to the last step; return the signal that stopped the run early, or None when it is complete.

        Raises :class:`TrainingError` after too many rejected steps in a row and
        :class:`~tide.errors.CheckpointError` when the run folder cannot be written.
        """
        for warning in self.task.warnings():
            self.reporter.message(f"warning: {warning}", alarm=True)
        cadence, progress = self.task.cadence, self.progress
        devices = [self.task.device] if self.task.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), StopRequest() as stop, closing(self.task):
            if progress.step == 0:
                self.checkpoint()  # a run killed before its first regular checkpoint can be resumed too
            try:
                if self._due(cadence.evaluate) and progress.evaluated_step < progress.step:
                    self._evaluate(stop)  # the run was stopped in the middle of this evaluation
                while progress.step < cadence.steps and not self.team.any(stop.received is not None):
                    self._advance(stop)
            except _Stopped:
                pass
            stopped = next((signal for signal in self.team.gather(stop.received) if signal is not None), None)
            if stopped is not None:
                self.checkpoint()
        self._write_results()
        return stopped

    def _advance(self, stop: StopRequest) -> None:
        cadence, progress = self.task.cadence, self.progress
        began = time.perf_counter()
        accepted = self.task.step(progress.step)
        progress.step += 1
        seconds = time.perf_counter() - began
        progress.seconds += seconds
        self._recent.append(seconds)
        self._count_rejection(accepted)
        if progress.step == 1 or self._due(cadence.monitor):
            self._monitor()
        if progress.step == 1 or self._due(cadence.log):
            self._log()
        if cadence.probe and progress.step % cadence.probe == 0:
            self.folder.append("metrics", {"kind": "probe", "step": progress.step, **self.task.probe()})
            self.folder.append("timing", {"step": progress.step, "seconds": progress.seconds})
        if self._due(cadence.evaluate):
            self._evaluate(stop)
        if self._due(cadence.checkpoint):
            self.checkpoint()

    @property
    def _logged(self) -> int:
        """The number of the present step as logs have it."""
        return self.progress.step * self.task.stride

    def _due(self, every: int) -> bool:
        """Say whether something that happens every so many steps, and at the last, is due now."""
        step = self.progress.step
        return step > 0 and (step % every == 0 or step == self.task.cadence.steps)

    def _count_rejection(self, accepted: bool) -> None:
        progress, limit = self.progress, self.task.cadence.max_rejections
        if accepted:
            progress.rejected_in_a_row = 0
            return
        progress.rejected += 1
        progress.rejected_in_a_row += 1
        self.folder.append("metrics", {"kind": "rejection", "step": self._logged, "loss": self.task.loss()})
        self.reporter.message(f"step {self._logged} rejected: loss or gradient not finite; nothing moved", alarm=True)
        if progress.rejected_in_a_row >= limit:
            raise TrainingError(
                f"{limit} steps in a row had a loss or gradient that is not finite, up to step {self._logged}; "
                f"lower train.learning_rate or train.clip.total; the last good checkpoint is in {self.folder.path}"
            )

    def _log(self) -> None:
        progress, recent, stride = self.progress, self._recent, self.task.stride
        readings = self.task.readings(progress.rejected)
        self.folder.append("metrics", {"kind": "train", "step": self._logged, **readings})
        timing = {"step": self._logged, "seconds": progress.seconds, "steps_per_second": stride / recent[-1]}
        self.folder.append("timing", timing)
        self.reporter.reading(self.task.summary(self._logged, stride * len(recent) / sum(recent), progress.rejected))

    def _monitor(self) -> None:
        quantities, alarms = self.task.monitor()
        if not quantities and not alarms:
            return
        self.folder.append("metrics", {"kind": "monitor", "step": self._logged, **quantities, "alarms": alarms})
        for alarm in alarms:
            self.reporter.message(f"step {self._logged}: {alarm}", alarm=True)

    def _evaluate(self, stop: StopRequest) -> None:
        def show(done: int, total: int) -> None:
            self.reporter.evaluating(done, total)
            if stop.received is not None and done < total and self.team.world == 1:
                raise _Stopped

        progress = self.progress
        evaluated = self.task.evaluate(show)
        best = evaluated.score > progress.best
        progress.evaluated_step, progress.last = progress.step, evaluated.score
        if best:
            progress.best, progress.best_step = evaluated.score, progress.step
            if self.team.leads:
                save_checkpoint(self.folder.best, self.task.shown)
        if evaluated.answers is not None:
            self.folder.write_answers(evaluated.answers)
        self.folder.append("metrics", {"kind": "evaluation", "step": self._logged, **evaluated.readings})
        self.reporter.message(f"step {self._logged}: {evaluated.sentence}{' (best so far)' if best else ''}")

    def checkpoint(self) -> None:
        """Save everything that :meth:`resume` needs."""
        if not self.team.leads:
            return
        training = {**self.task.state_dict(), "position": asdict(self.progress), "log_sizes": self.folder.sizes()}
        save_checkpoint(self.folder.last, self.task.shown, training)

    def _write_results(self) -> None:
        progress, score, stride = self.progress, self.task.score, self.task.stride
        self.folder.write_results(
            {
                "complete": progress.step == self.task.cadence.steps,
                **self.task.results(),
                "step": self._logged,
                f"best_{score}": progress.best if progress.best_step else None,
                "best_step": stride * progress.best_step or None,
                f"last_{score}": progress.last if progress.evaluated_step else None,
                "last_step": stride * progress.evaluated_step or None,
                "rejected": progress.rejected,
                "seconds": progress.seconds,
            }
        )


def patience() -> float:
    """Return for how long to wait for another writer of a run, in seconds: a study waits for its predecessor's runs."""
    return PATIENCE if os.environ.get(PARENT) else 0.0


class StopRequest:
    """A context in which :data:`tide.device.STOPS` set :attr:`received` in place of ending the process.

    A second one ends it at once, but for the warnings of schedulers, which come again and before a signal. A signal
    that is ignored when the context begins stays so: that is how ``nohup`` lets a run outlive its terminal.
    """

    def __init__(self) -> None:
        self._received: signal.Signals | None = None
        self._previous: dict[signal.Signals, Any] = {}
        parent = os.environ.get(PARENT, "")
        self._parent = int(parent) if parent.isdecimal() else None

    @property
    def received(self) -> signal.Signals | None:
        """The signal that asks to stop; SIGHUP where the study that started this run is gone, however it ended."""
        if self._received is None and self._parent is not None and os.getppid() != self._parent:
            self._received = HANGUP
        return self._received

    def __enter__(self) -> Self:
        # Python lets only the main thread install handlers; elsewhere the caller's own handling stays.
        if threading.current_thread() is threading.main_thread():
            for number in STOPS:
                previous = signal.getsignal(number)
                if previous is not signal.SIG_IGN:
                    self._previous[number] = previous
                    signal.signal(number, self._handle)
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._received is None or self._received in WARNINGS:
            self._received = signal.Signals(number)
        elif number not in WARNINGS:
            raise KeyboardInterrupt

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

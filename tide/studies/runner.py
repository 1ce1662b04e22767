"""Run trials side by side, each in a process of its own; skip what is done, continue what was begun."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from tide.config import Config, FolderConfig, HubConfig, ImageConfig
from tide.config.io import differences, to_yaml
from tide.device import DeviceName, available_cores, check_threads, pick_device
from tide.errors import CheckpointError, InputError
from tide.files import only_writer, writing
from tide.runs.folder import RunFacts, RunFolder, step_rates
from tide.train.report import format_seconds
from tide.train.run import PARENT, StopRequest

# One training run of a study, and where it stands on disk.


class State(Enum):
    """Where a trial stands."""

    NEW = "new"
    STARTED = "started"
    DONE = "done"


@dataclass(frozen=True)
class Trial:
    """A run to be made: its name (that of its folder) and its whole, resolved configuration."""

    name: str
    config: Config

    def folder(self, out: Path) -> Path:
        """Return the trial's run folder inside that of the study."""
        return out / self.name

    def state(self, out: Path) -> State:
        """Return where the trial stands.

        Raises :class:`CheckpointError` where its folder is damaged, or holds a run with other settings.
        """
        path = self.folder(out)
        if not path.exists() or not any(path.iterdir()):
            return State.NEW
        run = RunFolder.open(path)
        there = run.config
        changed = differences(self._as_fitted(there), there)
        if changed:
            raise CheckpointError(
                f"{path} was trained with other settings ({'; '.join(changed[:3])}{'; …' * (len(changed) > 3)}); give "
                "another --out, or the settings it was started with"
            )
        if not (path / "results.json").exists():
            return State.STARTED
        return State.DONE if run.results().get("complete") else State.STARTED

    def _as_fitted(self, there: Config) -> Config:
        """Return the settings with what a run takes from its data, as it did: names of classes, and of photos more."""
        data, image, output, met = self.config.data, self.config.input, self.config.output, there.output
        output = replace(output, labels=met.labels if len(met.labels) == output.classes else output.labels)
        if isinstance(data, FolderConfig | HubConfig):
            output = met
            if isinstance(image, ImageConfig):
                image = replace(image, mean=image.mean or there.images.mean, std=image.std or there.images.std)
        if isinstance(data, HubConfig) and there.data.name.startswith(f"{data.name}@"):  # the commit, if left open
            data = replace(data, name=there.data.name)
        return replace(self.config, input=image, output=output, data=data)


def check_seeds(seeds: tuple[int, ...]) -> None:
    """Raise :class:`InputError` for no seed and for repeated ones."""
    if not seeds:
        raise InputError("no seed given; name one or more with --seeds 42 43 44")
    repeated = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if repeated:
        raise InputError(f"seeds must be different, got {repeated[0]} twice; it would repeat a run")


def shared_changes(
    changes: Mapping[str, Any], *, ticks: int | None = None, memory_length: int | None = None, batch: int | None = None
) -> dict[str, Any]:
    """Return changes of TIDE's settings with those on top that are given; a baseline takes over what it shares."""
    values: dict[tuple[str, ...], int | None] = {
        ("core", "ticks"): ticks,
        ("core", "neuron_models", "memory_length"): memory_length,
        ("train", "batch"): batch,
    }
    result = dict(changes)
    for path, value in values.items():
        if value is not None:
            result = _with(result, path, value)
    return result


def _with(settings: Any, path: Sequence[str], value: Any) -> Any:
    """Return nested ``settings`` with one value set; what is no mapping stays, to be refused where it is read."""
    if not path:
        return value
    if not isinstance(settings, Mapping):
        return settings
    return {**settings, path[0]: _with(settings.get(path[0], {}), path[1:], value)}


# Run trials side by side, each in a process of its own; skip what is done, continue what was begun.
#
# A process each because it is what ``tide train`` already makes safe: it stops on a signal with everything saved and
# resumes bit for bit. Two single-threaded runs side by side use two cores better than one run with two threads.


POLL = 0.5  # seconds between looks at the processes
REPORT = 30.0  # seconds between lines of progress
RECENT = 20  # readings whose median is the rate shown
ALIKE = "not started: two runs before it failed for one reason"


@dataclass(frozen=True)
class Outcome:
    """How the trials ended: names of those complete, and one line on each that failed; ``stopped`` by a signal."""

    done: tuple[str, ...]
    failed: dict[str, str]
    stopped: bool


@dataclass
class Running:
    """A trial in progress."""

    trial: Trial
    process: subprocess.Popen[bytes]
    log: Path


@dataclass
class TrialRunner:
    """Runs the trials of a study whose folder is ``out``, ``jobs`` at a time with ``threads`` threads each."""

    out: Path
    jobs: int
    threads: int
    device: str = "auto"
    data_dir: Path | None = None
    report: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True)
    _running: list[Running] = field(default_factory=list)

    def run(self, trials: Sequence[Trial]) -> Outcome:
        """Bring every trial to its end, or as far as a signal or its own failure lets it.

        A trial whose folder is damaged or was made with other settings is named, and the rest goes on. Where two fail
        for the same reason, such as data that are not there, no further one is started.
        """
        if self.jobs < 1:
            raise InputError(f"--jobs must be at least 1, got {self.jobs}")
        with writing(self.out):
            (self.out / "logs").mkdir(parents=True, exist_ok=True)
        waiting, done, failed = list(trials), list[str](), dict[str, str]()
        shown = time.monotonic()
        with only_writer(self.out, self.report), StopRequest() as stop:
            try:
                while waiting or self._running:
                    while waiting and len(self._running) < self.jobs and stop.received is None:
                        if len(set(failed.values())) < len(failed):
                            failed |= {trial.name: ALIKE for trial in waiting}
                            waiting.clear()
                        else:
                            self._start(waiting.pop(0), done, failed)
                    for ended in [r for r in self._running if r.process.poll() is not None]:
                        self._running.remove(ended)
                        self._end(ended, done, failed, stopped=stop.received is not None)
                    if stop.received is not None:
                        waiting.clear()
                        self._signal(stop.received)
                    if time.monotonic() - shown > REPORT and self._running:
                        shown = time.monotonic()
                        self.report(self._progress(len(done) + len(failed), len(trials)))
                    if self._running:
                        time.sleep(POLL)
            finally:
                for left in self._running:
                    left.process.terminate()
        return Outcome(tuple(done), failed, stop.received is not None)

    def _start(self, trial: Trial, done: list[str], failed: dict[str, str]) -> None:
        folder = trial.folder(self.out)
        try:
            state = trial.state(self.out)
        except InputError as error:
            failed[trial.name] = str(error)
            self.report(f"{trial.name}: {error}")
            return
        if state is State.DONE:
            done.append(trial.name)
            return
        # Decoding shares the cores of a run: jobs times threads are all there are.
        places = ["--device", self.device, "--threads", str(self.threads), "--workers", str(self.threads - 1)]
        command = [sys.executable, "-m", "tide", "train", *places]
        if state is State.NEW:
            settings = self.out / "logs" / f"{trial.name}.yaml"
            settings.write_text(to_yaml(trial.config), encoding="utf-8")
            command += ["--config", str(settings), "--out", str(folder)]
        else:
            command += ["--resume", str(folder)]
        if self.data_dir is not None:
            command += ["--data-dir", str(self.data_dir)]
        log = self.out / "logs" / f"{trial.name}.log"
        environment = os.environ | {"OMP_NUM_THREADS": str(self.threads), "OPENBLAS_NUM_THREADS": "1"}
        environment[PARENT] = str(os.getpid())  # ends with this process, however that ends
        with log.open("ab") as file:
            # A session of its own: the terminal's Ctrl-C reaches this process alone, which passes it on once.
            process = subprocess.Popen(
                command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, env=environment, start_new_session=True
            )
        self._running.append(Running(trial, process, log))

    def _end(self, ended: Running, done: list[str], failed: dict[str, str], *, stopped: bool) -> None:
        if ended.process.returncode == 0:
            done.append(ended.trial.name)
            lines = _lines(ended.log)
            self.report(f"done: {lines[-1] if lines else ended.trial.name}")
        elif not stopped:
            lines = [line for line in _lines(ended.log) if line.strip()]
            why = lines[-1] if lines else f"exit code {ended.process.returncode}"
            failed[ended.trial.name] = why.removeprefix("tide: error: ")
            self.report(f"{ended.trial.name} failed: {failed[ended.trial.name]} (log: {ended.log})")

    def _signal(self, number: int) -> None:
        for running in self._running:
            running.process.send_signal(number)
        for running in self._running:
            running.process.wait()

    def _progress(self, ended: int, total: int) -> str:
        texts = []
        for running in self._running:
            step, rate = last_timing(running.trial.folder(self.out))
            steps = running.trial.config.train.steps
            left = f", {format_seconds((steps - step) / rate)} left" if rate else ""
            texts.append(f"{running.trial.name} {step}/{steps} at {rate:.2f} steps/s{left}")
        return f"{ended} of {total} runs ended | " + " | ".join(texts)


def last_timing(folder: Path) -> tuple[int, float]:
    """Return the last step, and the median rate of the last readings in steps per second; zeros before a reading."""
    try:
        readings = RunFolder.open(folder).timing()[-RECENT:]
        rates = step_rates(readings)
        return int(readings[-1]["step"]), statistics.median(rates) if rates else 0.0
    except (InputError, IndexError, KeyError, TypeError):
        return 0, 0.0


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


# What the commands and scripts that run trials share.


def make_runner(
    out: Path,
    jobs: int | None = None,
    device: DeviceName = "auto",
    data_dir: Path | None = None,
    threads: int | None = None,
) -> TrialRunner:
    """Return a runner: on the CPU a run per core with one thread each, on an accelerator one run.

    With ``threads`` each run has so many, and so many fewer run side by side.
    """
    on_cpu = pick_device(device).type == "cpu"
    check_threads(threads)
    cores = available_cores()
    jobs = (max(1, cores // (threads or 1)) if on_cpu else 1) if jobs is None else jobs
    directory = data_dir.resolve() if data_dir is not None else None
    return TrialRunner(out, jobs, threads or max(1, cores // max(1, jobs)), device, directory)


def read_facts(trials: Sequence[Trial], outcome: Outcome, out: Path) -> dict[str, RunFacts]:
    """Read every finished run by its name; one that was damaged since is counted among the failed."""
    facts: dict[str, RunFacts] = {}
    for trial in trials:
        if trial.name in outcome.done:
            try:
                facts[trial.name] = RunFacts.read(trial.folder(out))
            except InputError as error:
                outcome.failed[trial.name] = str(error)
    return facts


def finish(outcome: Outcome, out: Path, command: str) -> int:
    """Say how a study ended; return the exit code: 0, 2 where runs failed, 130 where a signal stopped it."""
    if outcome.stopped:
        print(f"stopped; everything is saved: continue with the same {command} command", file=sys.stderr)
        return 130
    reasons: dict[str, list[str]] = {}
    for name, why in outcome.failed.items():
        reasons.setdefault(why, []).append(name)
    for why, names in reasons.items():
        print(f"tide: error: {', '.join(names)}: {why}", file=sys.stderr)
    if outcome.failed:
        print(f"tide: error: {len(outcome.failed)} runs in {out} failed, the others are done", file=sys.stderr)
        return 2
    return 0

"""The run folder: resolved configuration, environment, metrics, checkpoints."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from tide.config import Config
from tide.config.control import ControlConfig
from tide.config.io import from_dict, read_settings, to_yaml
from tide.errors import CheckpointError, ConfigError, one_line, short_repr
from tide.evaluate.answers import Answers
from tide.files import LOCK, WRITER, finite, read_mapping, write_json, writing
from tide.models.load import outline
from tide.models.saved import run_checkpoint
from tide.runs.track import Trackers

# What a run wrote down, read again: a line of a log, or its results.


class CheckedDict(dict[str, Any]):
    """A mapping that was read from a file; what it lacks is told in one line, wherever it is looked up."""

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.path = path

    def __missing__(self, name: str) -> Any:
        """Raise :class:`CheckpointError`."""
        raise CheckpointError(
            f"{self.path} must have a value of {name!r}, got none; restore the file, it was changed by hand"
        )


def read_line(path: Path, line: Any) -> CheckedDict:
    """Return a line of a log; raises ValueError unless it holds numbers beside its kind, and a whole one for a step."""
    if not isinstance(line, dict):
        raise ValueError("a line is no mapping")
    for name, value in line.items():
        wrong = type(value) is not int if name == "step" else isinstance(value, str) and name != "kind"
        if wrong:
            raise ValueError(f"{name} must be a number, got {short_repr(value)}")
    return CheckedDict(path, line)


# Where a result came from: code, libraries, machine.


LIBRARIES = ("torch", "numpy", "safetensors", "huggingface_hub", "scikit-learn", "pillow")


def describe_environment() -> dict[str, Any]:
    """Return code version and commit, library versions and machine."""
    return {
        "version": importlib.metadata.version("tide-dynamics"),
        "commit": _commit(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "threads": torch.get_num_threads(),
    }


def _processor() -> str:
    """Return the processor's name and the number of its cores that this process sees."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def _commit() -> str | None:
    """Return the commit of the checkout that runs (with + where it has changes), or None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


# The run folder: resolved configuration, environment, metrics, checkpoints.
#
# ::
#
#     RUN/config.yaml        every setting, resolved
#     RUN/environment.json   code version and commit, libraries, machine, command, data directory
#     RUN/metrics.jsonl      one line per reading; the same bytes whenever the run is repeated or resumed
#     RUN/timing.jsonl       seconds and steps per second, which are not
#     RUN/last/              weights, and beside them optimiser, monitor and position: what `--resume` continues
#     RUN/best/              weights of the best evaluation
#     RUN/answers.safetensors  the last evaluation's answer to each test image
#     RUN/results.json       best and last accuracy, kept apart


LOGS = ("metrics", "timing")
SECTIONS = ("input", "backbone", "core", "data", "loss", "train")  # of a configuration of any version
NEW_CONFIG = ".config.yaml.new"


class RunFolder:
    """A run on disk. Raises :class:`CheckpointError` with one line where it cannot be read or written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last, self.best = path / "last", path / "best"
        self.trackers = Trackers({})

    @classmethod
    def create(cls, path: Path, config: Config | ControlConfig, **environment: Any) -> Self:
        """Start a new run in ``path``, which must be empty or absent."""
        run = cls(path)
        with writing(path, "give a folder that can be written with --out", CheckpointError, "run folder"):
            path.mkdir(parents=True, exist_ok=True)
            _check_unused(path)
            command = " ".join(["tide", *sys.argv[1:]])
            write_json(path / "environment.json", {**describe_environment(), "command": command, **environment})
            for name in LOGS:
                (path / f"{name}.jsonl").touch()
            # Last and whole: it is what makes the folder a run, which can be resumed.
            (path / NEW_CONFIG).write_text(to_yaml(config), encoding="utf-8")
            (path / NEW_CONFIG).replace(path / "config.yaml")
        return run

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an existing run."""
        if not (path / "config.yaml").is_file():
            raise CheckpointError(f"{path} is not a run folder (no config.yaml); give one that `tide train` wrote")
        return cls(path)

    @property
    def config(self) -> Config:
        """The resolved configuration of the run."""
        path = self.path / "config.yaml"
        settings = read_settings(path)
        if "task" in settings:
            raise ConfigError(f"{self.path} must be a run on inputs with answers, got one that acts in an environment")
        missing = [name for name in SECTIONS if name not in settings]
        if missing:
            raise CheckpointError(
                f"{path} must have a section {missing[0]}, got none; restore the file, it was cut by hand"
            )
        return from_dict(Config, settings)

    @property
    def control(self) -> ControlConfig:
        """The configuration of a run that acts."""
        settings = read_settings(self.path / "config.yaml")
        if "task" not in settings:
            raise ConfigError(f"{self.path} must be a run that acts in an environment, got one on inputs with answers")
        return from_dict(ControlConfig, settings)

    @property
    def environment(self) -> dict[str, Any]:
        """What the run was started with."""
        environment = _read(self.path / "environment.json")
        data_dir = environment.get("data_dir")
        if not isinstance(data_dir, str | None):
            raise CheckpointError(f"data_dir in {self.path / 'environment.json'} must be a folder, got {data_dir!r}")
        return environment

    def checkpoint(self, name: str) -> Path:
        """Return the folder of checkpoint ``"best"`` or ``"last"``."""
        return run_checkpoint(self.path, name)

    def append(self, name: str, line: Mapping[str, Any]) -> None:
        """Append one JSON line to ``metrics`` or ``timing``; numbers that are not finite become null."""
        text = json.dumps(finite(line)) + "\n"
        path = self.path / f"{name}.jsonl"
        intact = f"the last checkpoint is intact: make room, then `tide train --resume {self.path}`"
        with writing(path, intact, CheckpointError), path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(text)
        if name == "metrics":
            self.trackers.log(line)

    def sizes(self) -> dict[str, int]:
        """Return the sizes of both logs in bytes."""
        return {name: (self.path / f"{name}.jsonl").stat().st_size for name in LOGS}

    def truncate(self, sizes: Mapping[str, int]) -> None:
        """Cut both logs back to a checkpoint, dropping what a killed run wrote after it.

        Raises :class:`CheckpointError` unless ``sizes`` gives the size of both logs and of nothing else: it comes from
        a file, and names no other file to cut.
        """
        known = isinstance(sizes, Mapping) and set(sizes) == set(LOGS)
        if not known or any(type(size) is not int or size < 0 for size in sizes.values()):
            raise CheckpointError(
                f"the checkpoint in {self.path} must give the sizes of {' and '.join(LOGS)} in bytes, got "
                f"{short_repr(sizes)}; it was changed by hand"
            )
        for name, size in sizes.items():
            path = self.path / f"{name}.jsonl"
            held = path.stat().st_size if path.is_file() else 0
            if held < size:
                raise CheckpointError(
                    f"{path} must hold at least {size} bytes, got {held}; restore the file, it was cut by hand"
                )
            os.truncate(path, size)

    def metrics(self, kind: str) -> list[dict[str, Any]]:
        """Return the lines of one kind (``train``, ``monitor``, ``probe``, ``evaluation``) from metrics.jsonl."""
        return [line for line in self._lines("metrics") if line.get("kind") == kind]

    def timing(self) -> list[dict[str, Any]]:
        """Return the lines of timing.jsonl."""
        return self._lines("timing")

    def _lines(self, name: str) -> list[dict[str, Any]]:
        path = self.path / f"{name}.jsonl"
        try:
            # What follows the last newline is a line that a kill cut short; resuming drops it.
            lines = path.read_text(encoding="utf-8").split("\n")[:-1]
            return [read_line(path, json.loads(line)) for line in lines]
        except (OSError, ValueError, RecursionError) as error:
            raise CheckpointError(f"{path} cannot be read ({error}); it is damaged") from error

    def write_answers(self, answers: Answers) -> None:
        """Write answers.safetensors: label, answer, its certainty and its probability for each test image."""
        columns = {
            "label": answers.labels,
            "answer": answers.at_most_certain(answers.predicted),
            "certainty": answers.at_most_certain(answers.certainty),
            "confidence": answers.at_most_certain(answers.confidence),
        }
        path = self.path / "answers.safetensors"
        with writing(path, "make room and resume the run", CheckpointError):
            path.write_bytes(save({name: column.contiguous() for name, column in columns.items()}))

    def answers(self) -> dict[str, Tensor]:
        """Return what the last evaluation answered, by column, (n,) each."""
        path = self.path / "answers.safetensors"
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} cannot be read ({error}); it is missing or damaged") from error

    def results(self) -> dict[str, Any]:
        """Return results.json."""
        return _read(self.path / "results.json")

    def write_results(self, results: Mapping[str, Any]) -> None:
        """Write results.json."""
        path = self.path / "results.json"
        with writing(path, "make room and resume the run", CheckpointError):
            write_json(path, finite(results))


class SilentRun(RunFolder):
    """The run folder as a process sees it that does not lead: it reads and leaves writing to the one that does."""

    def append(self, name: str, line: Mapping[str, Any]) -> None:
        """Write nothing."""

    def truncate(self, sizes: Mapping[str, int]) -> None:
        """Cut nothing."""

    def write_answers(self, answers: Answers) -> None:
        """Write nothing."""

    def write_results(self, results: Mapping[str, Any]) -> None:
        """Write nothing."""


def step_rates(timing: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return the steps per second in lines of timing.jsonl; a probe's line has none, nor one after no step."""
    return [line["steps_per_second"] for line in timing if line.get("steps_per_second")]


def _check_unused(path: Path) -> None:
    """Raise :class:`CheckpointError` unless a folder is empty, but for what a run that ended as it began left there."""
    debris = {LOCK, WRITER, NEW_CONFIG, "environment.json", *(f"{name}.jsonl" for name in LOGS)}
    if any(entry.name not in debris for entry in path.iterdir()):
        remedy = f", or continue with --resume {path}" if (path / "config.yaml").is_file() else ""
        raise CheckpointError(f"{path} is not empty; give another --out{remedy}")


def _read(path: Path) -> dict[str, Any]:
    try:
        return CheckedDict(path, read_mapping(path))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({one_line(error)[:120]}); it is missing or damaged") from error


# What one finished run says: the numbers that comparisons and ablations put side by side.


@dataclass(frozen=True)
class RunFacts:
    """One run: accuracies in [0, 1] at the most certain tick unless named otherwise.

    ``curve`` holds (step, accuracy) on the first test images; ``seconds`` the training seconds up to each step that was
    read; ``data_crc`` a running checksum of the batches' image indices at each step that was read; ``monitor`` the last
    reading of the stability monitor; ``rejected`` the number of steps not taken; ``answers`` label, answer, certainty
    and confidence of each test image.
    """

    path: Path
    config: Config
    evaluations: tuple[dict[str, Any], ...]
    curve: tuple[tuple[int, float], ...]
    seconds: dict[int, float]
    steps_per_second: float
    data_crc: dict[int, int]
    monitor: dict[str, Any]
    rejected: int
    answers: dict[str, Tensor]
    environment: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> RunFacts:
        """Read a run folder; raises :class:`CheckpointError` where it is damaged or not complete."""
        run = RunFolder.open(path)
        results = run.results()
        if not results.get("complete"):
            raise CheckpointError(f"{path} is not complete; continue it with `tide train --resume {path}`")
        evaluations = run.metrics("evaluation")
        timing = run.timing()
        rates = step_rates(timing)
        monitor = run.metrics("monitor")
        if not evaluations or not rates:
            raise CheckpointError(f"{path} has no evaluation or no timing in its logs; they were cut by hand")
        return cls(
            path=path,
            config=run.config,
            evaluations=tuple(evaluations),
            curve=tuple((line["step"], line["accuracy"]) for line in run.metrics("probe")),
            seconds={line["step"]: line["seconds"] for line in timing},
            steps_per_second=statistics.median(rates),
            data_crc={line["step"]: line["data_crc"] for line in run.metrics("train")},
            monitor=monitor[-1] if monitor else {},
            rejected=int(results["rejected"]),
            answers=run.answers(),
            environment=run.environment,
        )

    @property
    def last(self) -> dict[str, Any]:
        """The evaluation after the last step."""
        return self.evaluations[-1]

    @property
    def best_accuracy(self) -> float:
        """The best accuracy of all whole evaluations."""
        return max(float(evaluation["accuracy"]) for evaluation in self.evaluations)

    @property
    def last_accuracy(self) -> float:
        """The accuracy after the last step."""
        return float(self.last["accuracy"])

    def parameters(self) -> int:
        """Return the number of the model's parameters."""
        return sum(p.numel() for p in outline(self.config.model).parameters())

    def steps_to(self, accuracy: float) -> int | None:
        """Return the first step of the learning curve with at least this accuracy, None where it is never reached."""
        return next((step for step, value in self.curve if value >= accuracy), None)

    def seconds_to(self, accuracy: float) -> float | None:
        """Return the training seconds up to that step, evaluations not counted."""
        step = self.steps_to(accuracy)
        return self.seconds.get(step) if step is not None else None


def mean_and_std(values: Sequence[float]) -> dict[str, float | None]:
    """Return the mean and the sample standard deviation (None for a single value)."""
    return {
        "mean": statistics.fmean(values),
        "std": statistics.stdev(values) if len(values) > 1 else None,
    }

"""The run folder: resolved configuration, environment, metrics, checkpoints.

::

    RUN/config.yaml        every setting, resolved
    RUN/environment.json   code version and commit, libraries, machine, command, data directory
    RUN/metrics.jsonl      one line per reading; the same bytes whenever the run is repeated or resumed
    RUN/timing.jsonl       seconds and steps per second, which are not
    RUN/last/              weights, and beside them optimiser, monitor and position: what `--resume` continues
    RUN/best/              weights of the best evaluation
    RUN/answers.safetensors  the last evaluation's answer to each test image
    RUN/results.json       best and last accuracy, kept apart
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from tide.config import Config
from tide.config_io import from_dict, read_settings, to_yaml
from tide.errors import CheckpointError, one_line, shown
from tide.evaluate.answers import Answers
from tide.json_io import finite, read_mapping
from tide.models.files import run_checkpoint
from tide.runs.environment import describe_environment
from tide.runs.lock import LOCK
from tide.runs.reading import Reading, read_line
from tide.runs.track import Trackers

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
    def create(cls, path: Path, config: Config, **environment: Any) -> Self:
        """Start a new run in ``path``, which must be empty or absent."""
        run = cls(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            _check_unused(path)
            command = " ".join(["tide", *sys.argv[1:]])
            text = json.dumps({**describe_environment(), "command": command, **environment}, indent=2)
            (path / "environment.json").write_text(text + "\n", encoding="utf-8")
            for name in LOGS:
                (path / f"{name}.jsonl").touch()
            # Last and whole: it is what makes the folder a run, which can be resumed.
            (path / NEW_CONFIG).write_text(to_yaml(config), encoding="utf-8")
            (path / NEW_CONFIG).rename(path / "config.yaml")
        except OSError as error:
            raise CheckpointError(
                f"cannot write run folder {path}: {error.strerror}; give a folder that can be written with --out"
            ) from error
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
        missing = [name for name in SECTIONS if name not in settings]
        if missing:
            raise CheckpointError(
                f"{path} has no {missing[0]}, every section is wanted: restore it, it was cut by hand"
            )
        return from_dict(Config, settings)

    @property
    def environment(self) -> dict[str, Any]:
        """What the run was started with."""
        environment = _read(self.path / "environment.json")
        data_dir = environment.get("data_dir")
        if not isinstance(data_dir, str | None):
            raise CheckpointError(f"{self.path / 'environment.json'}: data_dir is {data_dir!r}, a folder is wanted")
        return environment

    def checkpoint(self, name: str) -> Path:
        """Return the folder of checkpoint ``"best"`` or ``"last"``."""
        return run_checkpoint(self.path, name)

    def append(self, name: str, line: Mapping[str, Any]) -> None:
        """Append one JSON line to ``metrics`` or ``timing``; numbers that are not finite become null."""
        text = json.dumps(finite(line)) + "\n"
        path = self.path / f"{name}.jsonl"
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise CheckpointError(
                f"cannot write {path}: {error.strerror}; the last checkpoint is intact: make room, then "
                f"`tide train --resume {self.path}`"
            ) from error
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
                f"the checkpoint in {self.path} gives sizes of logs as {shown(sizes)}, those of "
                f"{' and '.join(LOGS)} in bytes are wanted: it was changed by hand"
            )
        for name, size in sizes.items():
            path = self.path / f"{name}.jsonl"
            found = path.stat().st_size if path.is_file() else 0
            if found < size:
                raise CheckpointError(
                    f"{path} holds {found} bytes, the checkpoint wants {size} or more: restore it, it was cut by hand"
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
        try:
            path.write_bytes(save({name: column.contiguous() for name, column in columns.items()}))
        except OSError as error:
            raise CheckpointError(f"cannot write {path}: {error.strerror}; make room and resume the run") from error

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
        try:
            path.write_text(json.dumps(finite(results), indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise CheckpointError(f"cannot write {path}: {error.strerror}; make room and resume the run") from error


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
    debris = {LOCK, NEW_CONFIG, "environment.json", *(f"{name}.jsonl" for name in LOGS)}
    if any(entry.name not in debris for entry in path.iterdir()):
        remedy = f", or continue with --resume {path}" if (path / "config.yaml").is_file() else ""
        raise CheckpointError(f"{path} is not empty; give another --out{remedy}")


def _read(path: Path) -> dict[str, Any]:
    try:
        return Reading(path, read_mapping(path))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({one_line(error)[:120]}); it is missing or damaged") from error

"""What ``tide compare`` and ``tide ablate`` share: settings for all runs, the runner, results on disk, exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tide.cli.device import pick_device
from tide.cli.study_arguments import RunnerArguments, StudyArguments
from tide.config_io import read_settings
from tide.errors import InputError
from tide.studies.facts import RunFacts
from tide.studies.runner import Outcome, TrialRunner, available_cores
from tide.studies.trials import Trial

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def changes_of(given: StudyArguments) -> dict[str, Any]:
    """Return the changes of TIDE's settings that apply to every run: a file's, and on top of them the options'."""
    changes = read_settings(given.file) if given.file is not None else {}
    options: dict[tuple[str, ...], int | None] = {
        ("core", "ticks"): given.ticks,
        ("core", "neuron_models", "memory_length"): given.memory_length,
        ("train", "batch"): given.batch,
    }
    for path, value in options.items():
        if value is not None:
            changes = _with(changes, path, value)
    return changes


def _with(settings: Any, path: Sequence[str], value: Any) -> Any:
    """Return nested ``settings`` with one value set; what is no mapping stays, to be refused where it is read."""
    if not path:
        return value
    if not isinstance(settings, Mapping):
        return settings
    return {**settings, path[0]: _with(settings.get(path[0], {}), path[1:], value)}


def make_runner(out: Path, given: RunnerArguments) -> TrialRunner:
    """Return a runner: on the CPU a run per core with one thread each, on an accelerator one run."""
    on_cpu = pick_device(given.device).type == "cpu"
    cores = available_cores()
    jobs = (cores if on_cpu else 1) if given.jobs is None else given.jobs
    directory = given.data_dir.resolve() if given.data_dir is not None else None
    return TrialRunner(out, jobs, max(1, cores // max(1, jobs)), given.device, directory)


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


PLACES = ("--data-dir", "--out", "--jobs")
"""Options that say where and how, not what: left out of the command that a result is published with."""


def told(command: str, arguments: Sequence[str]) -> str:
    """Return the command line that gives the same result anywhere, without the places of this machine."""
    return " ".join(["tide", command, *without_places(arguments)])


def without_places(arguments: Sequence[str]) -> list[str]:
    """Return a command's arguments without those that name places of this machine."""
    kept, skip = [], False
    for argument in arguments:
        if skip:
            skip = False
        elif argument in PLACES:
            skip = True
        elif not argument.startswith(tuple(f"{place}=" for place in PLACES)):
            kept.append(argument)
    return kept


def save_study(
    out: Path, name: str, result: Mapping[str, Any], text: str, figures: Mapping[str, Callable[[], Figure]]
) -> None:
    """Write NAME.json and NAME.md into the study's folder; draw the pictures only then, so that no number is lost."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        (out / f"{name}.md").write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}; give another --out") from error
    try:
        for file, draw in figures.items():
            draw().savefig(out / file, dpi=130)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}; give another --out") from error


def finish(outcome: Outcome, out: Path, command: str) -> int:
    """Say how a study ended; return the exit code: 0, 2 where runs failed, 130 where a signal stopped it."""
    if outcome.stopped:
        print(f"stopped; everything is saved: continue with the same {command} command", file=sys.stderr)
        return 130
    for name, why in outcome.failed.items():
        print(f"tide: error: {name}: {why}", file=sys.stderr)
    if outcome.failed:
        print(f"tide: error: {len(outcome.failed)} runs in {out} failed, the others are done", file=sys.stderr)
        return 2
    return 0

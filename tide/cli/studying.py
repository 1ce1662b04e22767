"""What the commands that run studies share: settings for all runs, the runner, what finished, exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tide.cli.study_arguments import RunnerArguments, StudyArguments
from tide.config.io import read_settings
from tide.device import available_cores, pick_device
from tide.errors import InputError
from tide.runs.folder import RunFacts
from tide.studies.runner import Outcome, Trial, TrialRunner, shared_changes


def changes_of(given: StudyArguments) -> dict[str, Any]:
    """Return the changes of TIDE's settings that apply to every run: a file's, and on top of them the options'."""
    changes = read_settings(given.file) if given.file is not None else {}
    return shared_changes(changes, ticks=given.ticks, memory_length=given.memory_length, batch=given.batch)


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

"""What ``tide train`` does once its arguments are understood: start, resume, or only try one step."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from itertools import count
from pathlib import Path

import torch

from tide.cli.train_arguments import TrainArguments
from tide.config import Config, CoreConfig, FolderConfig, HubConfig
from tide.config.io import differences, to_dict
from tide.data import Splits, read_splits
from tide.device import pick_device, pick_workers
from tide.errors import CheckpointError, InputError
from tide.files import only_writer
from tide.models.tide import coverage
from tide.runs.folder import RunFolder, SilentRun
from tide.runs.track import check_trackers, open_trackers
from tide.train.report import SilentReporter, format_seconds, make_reporter, say
from tide.train.run import Run, patience
from tide.train.supervised import Supervised, fit_to_data, resolved, supervised_run
from tide.train.team import Team


def settings(given: TrainArguments) -> Config:
    """Return the settings asked for, schedule resolved, not yet fitted to the data."""
    return resolved(given.shortened())


def start(given: TrainArguments, name: str) -> int:
    """Start a new run."""
    check_trackers(given.track)
    team = Team.from_environment()
    device, workers = pick_device(given.device, team.local_rank), pick_workers(given.workers)
    config = settings(given)
    splits = read_splits(config, given.data_dir)
    config = fit_to_data(config, splits)
    team.share(config.train.accumulation, "train.accumulation")
    data_dir = str(given.data_dir.resolve()) if given.data_dir is not None else None

    def create() -> RunFolder:
        return RunFolder.create(
            given.out or _free_folder(name),
            config,
            device=str(device),
            data_dir=data_dir,
            compile=given.compile,
            processes=team.world,
        )

    with team.together(device):
        run = _led(team, create)
        return _fit(given, config, splits, run, device, team, workers=workers, resuming=False)


def resume(given: TrainArguments) -> int:
    """Continue a run, on any number of processes; refuses other settings than those it was started with."""
    assert given.resume is not None
    check_trackers(given.track)
    team = Team.from_environment()
    device, workers = pick_device(given.device, team.local_rank), pick_workers(given.workers)
    run = RunFolder.open(given.resume) if team.leads else SilentRun.open(given.resume)
    stored, environment = run.config, run.environment
    directory = given.data_dir or (Path(environment["data_dir"]) if environment.get("data_dir") else None)
    config = settings(given)
    splits = read_splits(config, directory)
    config = fit_to_data(config, splits)
    ours, photos = config.data, isinstance(stored.data, FolderConfig | HubConfig)
    if given.data is not None and photos and isinstance(ours, FolderConfig | HubConfig):
        # Photos that were moved: whether they are the same, their fingerprint in the checkpoint says.
        config = replace(config, data=replace(ours, name=stored.data.name))
    changed = differences(config, stored)
    if changed:
        raise CheckpointError(
            f"cannot resume {run.path} with other settings ({'; '.join(changed[:3])}{'; …' * (len(changed) > 3)}): "
            "leave them out to continue the run, or start a new one with --out"
        )
    with team.together(device):
        return _fit(given, stored, splits, run, device, team, workers=workers, resuming=True)


def _led(team: Team, create: Callable[[], RunFolder]) -> RunFolder:
    """Let the leading process create the run folder; the others learn its path, or that there is none."""
    run, failure = None, None
    if team.leads:
        try:
            run = create()
        except InputError as error:
            failure = error
    path = team.gather(run.path if run is not None else None)[0]
    if path is None:
        raise failure or SystemExit(2)  # the leading process says why
    return run or SilentRun(path)


def _free_folder(name: str) -> Path:
    """Return runs/NAME, or runs/NAME-2, -3, ... where it exists."""
    candidates = (Path("runs") / (name if number == 1 else f"{name}-{number}") for number in count(1))
    return next(folder for folder in candidates if not folder.exists())


def _fit(
    given: TrainArguments,
    config: Config,
    splits: Splits,
    run: RunFolder,
    device: torch.device,
    team: Team,
    *,
    workers: int,
    resuming: bool,
) -> int:
    """Train, show how it ended, and return the exit code: 0, or 128 + signal for a run stopped early."""
    steps = config.train.steps
    reporter = make_reporter(steps) if team.leads else SilentReporter(steps)
    alone = only_writer(run.path, reporter.message, wait=patience()) if team.leads else nullcontext()
    with alone, reporter:
        training = supervised_run(
            config, splits, run, reporter, team=team, device=device, compile_step=given.compile, workers=workers
        )
        if resuming:
            training.resume()
        train, position, model = config.train, training.progress, training.task.model
        if team.leads:
            run.trackers = open_trackers(given.track, run.path, to_dict(config), position.step + 1)
        processes = f", {team.world} processes" if team.world > 1 else ""
        reporter.message(
            f"{run.path}: {config.data.title}, {sum(p.numel() for p in model.parameters()):,} parameters, "
            f"{config.core.population}, {config.core.ticks} ticks, device {device}{processes}"
        )
        images = f"{train.batch} x {train.accumulation}" if train.accumulation > 1 else train.batch
        reporter.message(
            f"steps {position.step} to {train.steps} of {images} images; warm-up "
            f"{train.warmup}, curriculum {train.curriculum_start} + {train.curriculum_length} steps"
        )
        if splits.summary:
            reporter.message(splits.summary)
        reporter.message(f"loop over ticks: {model.tick_loop().reason}")
        covered = coverage(config.core) if isinstance(config.core, CoreConfig) else None
        if covered is not None:
            reporter.message(covered)
        try:
            stopped = training.fit()
        except KeyboardInterrupt:
            reporter.message(f"stopped at once by a second signal; continue with: tide train --resume {run.path}")
            return 130
        except torch.OutOfMemoryError as error:
            raise InputError(
                f"device {device} is out of memory at batch {train.batch}; lower --train.batch and raise "
                f"--train.accumulation; the last checkpoint is in {run.path}"
            ) from error
        finally:
            run.trackers.close()
    return _farewell(training, config, stopped) if team.leads else 0


def _farewell(training: Run[Supervised], config: Config, stopped: signal.Signals | None) -> int:
    position, run = training.progress, training.folder
    if stopped is not None:
        say(f"stopped by {stopped.name} after step {position.step}; everything is saved", sys.stderr)
        say(f"continue with: tide train --resume {run.path}", sys.stderr)
        return 128 + int(stopped)
    best, last = (f"{100 * accuracy:.2f} %" for accuracy in (position.best, position.last))
    say(
        f"{run.path}: best {config.data.measured_on} accuracy {best} (step {position.best_step}), last "
        f"{last}, {format_seconds(position.seconds)} of training steps",
        sys.stdout,
    )
    return 0


def dry_run(given: TrainArguments) -> int:
    """Try one step and say what a whole run would take; nothing is written."""
    from tide.cli.dry_run import show

    config = settings(given)
    splits = read_splits(config, given.data_dir)
    config = fit_to_data(config, splits)
    show(config, splits, pick_device(given.device), compile_step=given.compile)
    return 0

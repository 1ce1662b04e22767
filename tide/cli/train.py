"""``tide train``: train a preset on a data set, continue a run, or only try one step."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from tide.cli import act
from tide.cli.options import DataDir, Device, Workers
from tide.cli.parse import parse, value_of
from tide.config import Config, CoreConfig, FolderConfig, HubConfig, data_config
from tide.config.io import differences, from_dict, read_yaml, to_dict, to_yaml
from tide.device import available_memory, pick_device, pick_workers, set_threads
from tide.errors import CheckpointError, ConfigError, InputError, did_you_mean
from tide.files import only_writer
from tide.models.presets import MODELS, TASKS, preset

if TYPE_CHECKING:
    import signal

    import torch

    from tide.data import Splits
    from tide.runs.folder import RunFolder
    from tide.train.run import Run
    from tide.train.supervised import Supervised
    from tide.train.team import Team


@dataclass(frozen=True, kw_only=True)
class TrainOptions(DataDir, Device, Workers):
    """Options of one training run; everything below them is a setting of the model, the loss or the procedure."""

    settings: Annotated[Config, tyro.conf.arg(name="")]
    data: str | None = None
    """Data set in place of the preset's: digits, mnist, fashion-mnist, cifar10, cifar100, folder:DIR, hub:DIR
    or hub:OWNER/NAME[@REVISION]."""
    steps: int | None = None
    """Optimiser steps: short for --train.steps."""
    ticks: int | None = None
    """Internal ticks: short for --core.ticks."""
    batch: int | None = None
    """Images per micro-batch: short for --train.batch."""
    out: Path | None = None
    """New run folder (none: runs/<preset>, numbered where it exists)."""
    resume: Path | None = None
    """Continue this run, bit for bit."""
    file: Annotated[Path | None, tyro.conf.arg(name="config")] = None
    """YAML file of settings; they come on top of the preset, options on top of them."""
    print_config: bool = False
    """Print the resolved settings as YAML and stop."""
    dry_run: bool = False
    """Show shapes, parameters, one step, memory and time, then stop."""
    track: tuple[str, ...] = ()
    """Show the readings elsewhere, too: tensorboard (extra [tensorboard], in RUN/tensorboard), or the name of a tracker
    that another package offers. metrics.jsonl holds them in any case."""
    compile: bool = False
    """Compile one tick with torch.compile."""

    def shortened(self) -> Config:
        """Return the settings with what the short options say."""
        short: dict[str, dict[str, int | None]] = {
            "train": {"steps": self.steps, "batch": self.batch},
            "core": {"ticks": self.ticks},
        }
        stated = {key: {k: v for k, v in part.items() if v is not None} for key, part in short.items()}
        return from_dict(Config, {key: part for key, part in stated.items() if part}, base=self.settings)


DESCRIPTION = (
    f"Train a preset on a data set: tide train PRESET [OPTIONS]. PRESET is one of {', '.join(TASKS)}, or MODEL.TASK "
    f"with MODEL one of {', '.join(model for model in MODELS if model != 'tide')}."
)


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    if act.asked(arguments):
        return act.train(arguments)
    name, base, rest = _base(arguments)
    options = parse(
        TrainOptions,
        rest,
        prog=f"tide train {name or 'PRESET'}",
        description=DESCRIPTION,
        default=TrainOptions(settings=base),
    )
    # Only now torch and the data: --help and most mistakes need neither.
    _announce()
    set_threads(options.threads)
    if options.resume is not None and options.out is not None:
        raise ConfigError(
            f"--out must be left out with --resume, got {options.out}; the run goes on in {options.resume}"
        )
    if options.print_config:
        print(to_yaml(_settings(options)), end="")
        return 0
    data = options.settings.data
    if isinstance(data, FolderConfig) and data.name == FolderConfig().name and not Path(data.name).is_dir():
        raise ConfigError(f"{name or 'these settings'} must be told where the photos are, got none; --data folder:DIR")
    if options.dry_run:
        return _dry_run(options)
    return _resume(options) if options.resume is not None else _start(options, name or "run")


def _announce() -> None:
    """Say that it goes on, once, before the seconds that PyTorch takes to load."""
    if "torch" not in sys.modules and os.environ.get("RANK", "") in ("", "0"):
        # Not printed: where nobody reads, nothing of it may be left in a buffer to fail later.
        with contextlib.suppress(OSError, ValueError):
            os.write(sys.stderr.fileno(), b"tide: loading PyTorch ...\n")


def _base(arguments: Sequence[str]) -> tuple[str | None, Config, list[str]]:
    """Return the preset's name, the settings that options change, and the remaining arguments.

    Settings come from the preset, from ``--config`` on top of it, or from the run to be resumed.
    """
    rest = list(arguments)
    name = rest.pop(0) if rest and not rest[0].startswith("-") else None
    file, resumed = value_of(rest, "--config"), value_of(rest, "--resume")
    if name is not None:
        base = preset(name)
    elif resumed is not None:
        _announce()
        from tide.runs.folder import RunFolder

        base = RunFolder.open(Path(resumed)).config
    else:
        base = Config()
        if file is None and not {"-h", "--help"} & set(rest):
            raise ConfigError(_no_preset(value_of(rest, "--data")))
    data = value_of(rest, "--data")
    if data is not None:  # before all other settings, which must fit this one and not the preset's
        _announce()
        from tide.train.supervised import with_data

        base = with_data(base, data)
    if file is not None:
        base = read_yaml(Config, file, base=base)
    if file is not None and data is not None:
        base = replace(base, data=with_data(base, data).data)  # the option, whatever data the file names
    for section in ("backbone", "core", "data"):
        kind = value_of(rest, f"--{section}.kind")
        if kind is not None:
            base = from_dict(Config, {section: {"kind": kind}}, base=base)
            # Of a section's options the parser knows those of one kind: it would refuse one given before.
            rest = _without(rest, f"--{section}.kind")
    return name, base, rest


def _no_preset(data: str | None) -> str:
    """Say in one line that a preset is missing, and which one suits the data."""
    missing = "no preset given; name one"
    if data and isinstance(data_config(data), FolderConfig | HubConfig):
        return f"{missing}: tide train photos --data {data}, or photos.small"
    return f"{missing}{did_you_mean(data or '', TASKS)}; or give --config FILE or --resume RUN"


def _without(arguments: Sequence[str], option: str) -> list[str]:
    """Return the arguments without an option that takes one value."""
    kept = [word for word in arguments if not word.startswith(f"{option}=")]
    while option in kept:
        place = kept.index(option)
        del kept[place : place + 2]
    return kept


def _settings(options: TrainOptions) -> Config:
    """Return the settings asked for, schedule resolved, not yet fitted to the data."""
    from tide.train.supervised import resolved

    return resolved(options.shortened())


def _start(options: TrainOptions, name: str) -> int:
    """Start a new run."""
    from tide.data import read_splits
    from tide.runs.folder import RunFolder
    from tide.runs.track import check_trackers
    from tide.train.supervised import fit_to_data
    from tide.train.team import Team

    check_trackers(options.track)
    team = Team.from_environment()
    device, workers = pick_device(options.device, team.local_rank), pick_workers(options.workers)
    config = _settings(options)
    splits = read_splits(config, options.data_dir)
    config = fit_to_data(config, splits)
    team.share(config.train.accumulation, "train.accumulation")
    data_dir = str(options.data_dir.resolve()) if options.data_dir is not None else None

    def create() -> RunFolder:
        return RunFolder.create(
            options.out or free_folder(name),
            config,
            device=str(device),
            data_dir=data_dir,
            compile=options.compile,
            processes=team.world,
        )

    with team.process_group(device):
        run = _led(team, create)
        return _fit(options, config, splits, run, device, team, workers=workers, resuming=False)


def _resume(options: TrainOptions) -> int:
    """Continue a run, on any number of processes; refuses other settings than those it was started with."""
    from tide.data import read_splits
    from tide.runs.folder import RunFolder, SilentRun
    from tide.runs.track import check_trackers
    from tide.train.supervised import fit_to_data
    from tide.train.team import Team

    assert options.resume is not None
    check_trackers(options.track)
    team = Team.from_environment()
    device, workers = pick_device(options.device, team.local_rank), pick_workers(options.workers)
    run = RunFolder.open(options.resume) if team.leads else SilentRun.open(options.resume)
    stored, environment = run.config, run.environment
    directory = options.data_dir or (Path(environment["data_dir"]) if environment.get("data_dir") else None)
    config = _settings(options)
    splits = read_splits(config, directory)
    config = fit_to_data(config, splits)
    ours, photos = config.data, isinstance(stored.data, FolderConfig | HubConfig)
    if options.data is not None and photos and isinstance(ours, FolderConfig | HubConfig):
        # Photos that were moved: whether they are the same, their fingerprint in the checkpoint says.
        config = replace(config, data=replace(ours, name=stored.data.name))
    changed = differences(config, stored)
    if changed:
        raise CheckpointError(
            f"cannot resume {run.path} with other settings ({'; '.join(changed[:3])}{'; …' * (len(changed) > 3)}); "
            "leave them out to continue the run, or start a new one with --out"
        )
    with team.process_group(device):
        return _fit(options, stored, splits, run, device, team, workers=workers, resuming=True)


def _led(team: Team, create: Callable[[], RunFolder]) -> RunFolder:
    """Let the leading process create the run folder; the others learn its path, or that there is none."""
    from tide.runs.folder import SilentRun

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


def free_folder(name: str) -> Path:
    """Return runs/NAME, or runs/NAME-2, -3, ... where it exists."""
    candidates = (Path("runs") / (name if number == 1 else f"{name}-{number}") for number in count(1))
    return next(folder for folder in candidates if not folder.exists())


def _fit(
    options: TrainOptions,
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
    import torch

    from tide.models.tide import coverage
    from tide.runs.track import open_trackers
    from tide.train.report import SilentReporter, make_reporter
    from tide.train.run import patience
    from tide.train.supervised import supervised_run

    steps = config.train.steps
    reporter = make_reporter(steps) if team.leads else SilentReporter(steps)
    alone = only_writer(run.path, reporter.message, wait=patience()) if team.leads else nullcontext()
    with alone, reporter:
        training = supervised_run(
            config, splits, run, reporter, team=team, device=device, compile_step=options.compile, workers=workers
        )
        if resuming:
            training.resume()
        train, position, model = config.train, training.progress, training.task.model
        if team.leads:
            run.trackers = open_trackers(options.track, run.path, to_dict(config), position.step + 1)
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
            reporter.message(_counted(splits, config.data.measured_on))
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


def _counted(splits: Splits, measured_on: str) -> str:
    """Return which photos there are, and how many of them are used for what: those held out and unreadable ones not."""
    return f"{splits.summary}; used: {len(splits.train)} to learn from, {len(splits.test)} {measured_on} photos"


def _farewell(training: Run[Supervised], config: Config, stopped: signal.Signals | None) -> int:
    from tide.train.report import format_seconds, say

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


def _dry_run(options: TrainOptions) -> int:
    """Try one step and say what a whole run would take; nothing is written."""
    from tide.data import read_splits
    from tide.train.supervised import fit_to_data

    config = _settings(options)
    splits = read_splits(config, options.data_dir)
    config = fit_to_data(config, splits)
    _show_one_step(config, splits, pick_device(options.device), compile_step=options.compile)
    return 0


def _show_one_step(config: Config, splits: Splits, device: torch.device, *, compile_step: bool) -> None:
    """Build the model, run a few steps, print what was seen."""
    import torch
    from rich.console import Console
    from rich.table import Table

    from tide.data import to_float
    from tide.device import peak_memory
    from tide.models.inputs import described, moved
    from tide.models.thinker import Thinker
    from tide.train.report import format_seconds
    from tide.train.step import Trainer, make_optimizer

    _check_memory(config, device)
    console, train = Console(), config.train
    model = Thinker(config.model).to(device)
    if compile_step:
        model.compile_step()
    some = splits.train.select(slice(train.batch))
    images, labels = to_float(moved(some.images, device)), some.labels.to(device)
    table = Table(
        title=f"{splits.name}: {len(splits.train)} training and {len(splits.test)} {config.data.measured_on} images"
    )
    for heading in ("what", "shape or number"):
        table.add_column(heading)
    with torch.no_grad():
        out = model(images, record=tuple(model.cell.observables), ticks=1)
        tokens = model.backbone(images) if isinstance(images, torch.Tensor) else None
    table.add_row(f"{config.input.kind}s", f"{train.batch} x {described(config.model)}")
    if tokens is not None:
        table.add_row("tokens", str(tuple(tokens.shape)))
    for name, value in out.trace.items():
        table.add_row(name, f"{(value.shape[0], 'T', *value.shape[2:])}".replace("'", ""))
    table.add_row("logits", f"({', '.join(map(str, out.logits.shape[:-1]))}, T = {config.core.ticks})")
    table.add_section()
    for name, members in model.components().items():
        table.add_row(f"parameters: {name}", f"{sum(p.numel() for p in members):,}")
    table.add_row("parameters: all", f"{sum(p.numel() for p in model.parameters()):,}")
    table.add_section()

    trainer = Trainer(model, make_optimizer(model, train), config)
    seconds = []
    for step in range(3):
        began = time.perf_counter()
        result = trainer.step(step, [(images, labels)] * train.accumulation)
        float(result.terms.total)  # waits for the device
        seconds.append(time.perf_counter() - began)
    fastest = min(seconds)
    table.add_row("loop over ticks", model.tick_loop().reason)
    table.add_row("loss after three steps", f"{float(result.terms.total):.4f}")
    table.add_row("first step, later steps", f"{seconds[0]:.3f} s, {fastest:.3f} s")
    peak = peak_memory(device)
    table.add_row("peak memory", "not known on this system" if math.isnan(peak) else f"{peak:,.0f} MiB")
    table.add_row("warm-up, curriculum", f"{train.warmup}, {train.curriculum_start} + {train.curriculum_length} steps")
    table.add_row(f"estimated time for {train.steps} steps", format_seconds(fastest * train.steps))
    if splits.summary:
        console.print(_counted(splits, config.data.measured_on))
    console.print(table)


def _check_memory(config: Config, device: torch.device) -> None:
    """Raise :class:`InputError` where a step would need more memory than there is, before it is tried.

    Counted on fake tensors at two ticks (of a list, as many as it has symbols) and at two more; every further tick
    costs the same.
    """
    from tide.analysis.costs import count_costs

    core, train = config.core, config.train
    ticks = min(stretch for stretch in (core.ticks, train.tbptt, train.recompute) if stretch)  # kept at a time
    plain = replace(config, train=replace(train, tbptt=0, recompute=0))
    fewest = max(2, config.output.emitted)
    low, high = (count_costs(from_dict(Config, {"core": {"ticks": few}}, base=plain)) for few in (fewest, fewest + 2))
    needed = low.held + low.peak + max(0, ticks - fewest) * (high.peak - low.peak) / 2
    available = available_memory(device)
    if needed > available:
        raise InputError(
            f"a step of {core.ticks} ticks at batch {train.batch} needs about {needed / 2**30:,.1f} GiB, only "
            f"{available / 2**30:,.1f} GiB are free; lower core.ticks, train.batch or core.neurons, or set "
            "train.recompute"
        )

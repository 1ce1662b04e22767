"""What ``tide train``, ``eval`` and ``show`` do with a model that acts in an environment."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from tide.cli.options import Checkpoint, Threads
from tide.cli.parse import parse, value_of
from tide.config.control import ControlConfig
from tide.config.io import differences, from_dict, read_settings, read_yaml, to_dict, to_yaml
from tide.device import set_threads
from tide.errors import CheckpointError, InputError
from tide.files import check_file, only_writer, write_json, writing
from tide.models.control_presets import CONTROL_PRESETS, control_preset

if TYPE_CHECKING:
    from tide.rl.agent import Agent


def is_run(path: str | Path) -> bool:
    """Whether a folder is a run that acts in an environment."""
    config = Path(path) / "config.yaml"
    try:
        return config.is_file() and "task" in read_settings(config)
    except InputError:
        return False  # whoever reads it next says what is wrong


def asked(arguments: Sequence[str]) -> bool:
    """Whether ``tide train`` is asked for a preset that acts, or to continue such a run."""
    resumed = value_of(arguments, "--resume")
    return (arguments[:1] != [] and arguments[0] in CONTROL_PRESETS) or (resumed is not None and is_run(resumed))


def of_a_run(arguments: Sequence[str]) -> bool:
    """Whether one of the arguments is a run that acts."""
    return any(is_run(word) for word in arguments if not word.startswith("-"))


@dataclass(frozen=True, kw_only=True)
class ActOptions(Threads):
    """Options of a run; everything below them is a setting of the model, the environment or the procedure."""

    settings: Annotated[ControlConfig, tyro.conf.arg(name="")]
    steps: int | None = None
    """Environment steps: short for --train.steps."""
    ticks: int | None = None
    """Internal ticks per environment step: short for --core.ticks."""
    out: Path | None = None
    """New run folder (none: runs/<preset>, numbered where it exists)."""
    resume: Path | None = None
    """Continue this run, bit for bit."""
    file: Annotated[Path | None, tyro.conf.arg(name="config")] = None
    """YAML file of settings; they come on top of the preset, options on top of them."""
    print_config: bool = False
    """Print the settings as YAML and stop."""
    track: tuple[str, ...] = ()
    """Show the readings elsewhere, too: tensorboard, or the name of a tracker that another package offers."""
    device: str = "cpu"
    """Device to compute on: cpu; networks of this size gain nothing from another."""

    def shortened(self) -> ControlConfig:
        """Return the settings with what the short options say."""
        short: dict[str, dict[str, int]] = {}
        if self.steps is not None:
            short["train"] = {"steps": self.steps}
        if self.ticks is not None:
            short["core"] = {"ticks": self.ticks}
        return from_dict(ControlConfig, short, base=self.settings)


def train(arguments: Sequence[str]) -> int:
    """Train a preset that acts, or continue a run."""
    rest = list(arguments)
    name = rest.pop(0) if rest and not rest[0].startswith("-") else None
    resumed, file = value_of(rest, "--resume"), value_of(rest, "--config")
    if name is not None:
        base = control_preset(name)
    else:
        assert resumed is not None
        from tide.runs.folder import RunFolder

        base = RunFolder.open(Path(resumed)).control
    if file is not None:
        base = read_yaml(ControlConfig, file, base=base)
    options = parse(
        ActOptions,
        rest,
        prog=f"tide train {name or ''}".strip(),
        description="Train a model that acts in an environment.",
        default=ActOptions(settings=base),
    )
    config = options.shortened()
    if options.print_config:
        print(to_yaml(config), end="")
        return 0
    if options.device not in ("cpu", "auto"):
        raise InputError(f"--device must be cpu for a model that acts, got {options.device}")
    set_threads(options.threads)
    return _train(options, config, name or "")


def _train(options: ActOptions, config: ControlConfig, name: str) -> int:
    import os

    from tide.cli.train import free_folder
    from tide.rl.environments import installed
    from tide.rl.learn import Acting
    from tide.runs.folder import RunFolder
    from tide.runs.track import check_trackers, open_trackers
    from tide.train.report import format_seconds, make_reporter, say
    from tide.train.run import Run, patience

    check_trackers(options.track)
    if os.environ.get("WORLD_SIZE", "") not in ("", "1"):
        raise InputError(f"a model that acts must train in one process, got WORLD_SIZE {os.environ['WORLD_SIZE']}")
    version = installed().__version__
    task = Acting(config)  # what does not fit is said before there is a folder
    if options.resume is not None:
        folder = RunFolder.open(options.resume)
        changed = differences(config, folder.control)
        if changed:
            raise CheckpointError(
                f"cannot resume {folder.path} with other settings ({'; '.join(changed[:3])}); leave them out to "
                "continue the run, or start a new one with --out"
            )
    else:
        folder = RunFolder.create(options.out or free_folder(name), config, gymnasium=version)
    reporter = make_reporter(config.train.iterations * config.train.stride)
    with only_writer(folder.path, reporter.message, wait=patience()), reporter:
        run = Run(task, folder, reporter)
        if options.resume is not None:
            run.resume()
        folder.trackers = open_trackers(options.track, folder.path, to_dict(config), run.progress.step + 1)
        parameters = sum(p.numel() for p in run.task.model.parameters())
        reporter.message(
            f"{folder.path}: {config.task.name}, {parameters:,} parameters, {config.core.population}, "
            f"{config.core.ticks} ticks, {config.train.environments} environments x {config.train.rollout} steps"
        )
        try:
            stopped = run.fit()
        except KeyboardInterrupt:
            reporter.message(f"stopped at once by a second signal; continue with: tide train --resume {folder.path}")
            return 130
        finally:
            folder.trackers.close()
    progress, stride = run.progress, config.train.stride
    if stopped is not None:
        say(f"stopped by {stopped.name} after step {progress.step * stride}; everything is saved", sys.stderr)
        say(f"continue with: tide train --resume {folder.path}", sys.stderr)
        return 128 + int(stopped)
    say(
        f"{folder.path}: return {progress.best:.1f} (step {progress.best_step * stride}), last {progress.last:.1f} "
        f"over {config.train.episodes} fixed episodes, {format_seconds(progress.seconds)} of training",
        sys.stdout,
    )
    return 0


@dataclass(frozen=True, kw_only=True)
class ActEvalOptions(Checkpoint, Threads):
    """Options of an evaluation."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder of a model that acts."""
    episodes: int = 100
    """Fixed episodes, the same for every model; others than those that the best checkpoint was chosen by."""
    out: Path | None = None
    """Write the numbers as JSON to this file."""


def evaluate(arguments: Sequence[str]) -> int:
    """Let a run act in fixed episodes, and ask what its state knows of what it is not shown."""
    from dataclasses import asdict

    options = parse(ActEvalOptions, arguments, prog="tide eval", description="Returns of a run over fixed episodes.")
    if options.episodes < 1:
        raise InputError(f"--episodes must be at least 1, got {options.episodes}")
    check_file("--out", options.out)
    set_threads(options.threads)
    import numpy as np

    from tide.rl.environments import environment_task
    from tide.rl.evaluate import FINAL, known, play

    agent, config = opened(options.run, options.checkpoint)
    numbers: dict[str, object] = {"run": options.run.name, "episodes": options.episodes}
    print(f"{config.task.name}, {options.episodes} fixed episodes, {options.run}")
    for name, greedy in (("as trained", False), ("likeliest action", True)):
        found = play(agent, config, FINAL, options.episodes, greedy=greedy)
        low, high = np.quantile(found.returns, (0.1, 0.9))
        print(f"  {name:<17} return {found.returns.mean():8.2f}  (80 % in {low:g} to {high:g})")
        print(f"  {'':<17} length {found.lengths.mean():8.2f}")
        numbers[name] = {"returns": found.returns.tolist(), "lengths": found.lengths.tolist()}
    if environment_task(config.task.name).hidden:
        score = known(agent, config)
        print("  what a linear read-out knows of what is not shown, R² (1: all)")
        print(f"    {'':<18} {'observation':>11} {'activity':>9} {'read by heads':>14}")
        for quantity in score.observation:
            values = (score.observation[quantity], score.activity[quantity], score.read[quantity])
            print(f"    {quantity:<18} {values[0]:11.2f} {values[1]:9.2f} {values[2]:14.2f}")
        numbers["known"] = asdict(score)
    if options.out is not None:
        with writing(options.out):
            write_json(options.out, numbers)
    return 0


def opened(path: Path, checkpoint: str) -> tuple[Agent, ControlConfig]:
    """Return the agent of a run and its experiment."""
    from tide.models.load import load
    from tide.rl.agent import Agent
    from tide.runs.folder import RunFolder

    return Agent(load(path, checkpoint=checkpoint)), RunFolder.open(path).control


@dataclass(frozen=True, kw_only=True)
class ActShowOptions(Checkpoint, Threads):
    """Options of the picture."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder of a model that acts."""
    episode: Annotated[str | None, tyro.conf.Positional] = None
    """Number of a fixed episode, 0 to 99; without it the picture shows how the training went."""
    out: Path | None = None
    """Picture to write (none: episode-<number>.png or training-<run>.png in the current folder)."""
    animate: Path | None = None
    """Write the episode as an animation instead, a frame for every environment step: .gif, .webp or .mp4."""


EPISODES = 100  # that can be shown


def show(arguments: Sequence[str]) -> int:
    """Draw how a training went, or one episode."""
    options = parse(
        ActShowOptions, arguments, prog="tide show", description="How a training went, or one episode as a picture."
    )
    set_threads(options.threads)
    from tide.plots.returns import draw_learning
    from tide.studies.publish import save

    if options.episode is None:
        if options.animate is not None:
            raise InputError("--animate shows one episode: give its number")
        path = options.out or Path(f"training-{options.run.name}.png")
        with writing(path, "give a .png file with --out"):
            save(draw_learning({options.run.name: [options.run]}), path)
        print(path)
        return 0
    if not options.episode.isdigit() or int(options.episode) >= EPISODES:
        raise InputError(f"episode must be 0 to {EPISODES - 1}, got {options.episode!r}")
    from tide.plots.animation import check_kind, write_animation
    from tide.plots.episode import draw_episode, frames_of, live

    if options.animate is not None:
        check_kind(options.animate)
    agent, config = opened(options.run, options.checkpoint)
    episode = live(agent, config, int(options.episode))
    if options.animate is not None:
        write_animation(options.animate, frames_of(episode))
        print(f"{options.animate}  {options.animate.stat().st_size:,} bytes")
        return 0
    path = options.out or Path(f"episode-{options.episode}.png")
    with writing(path, "give a .png file with --out"):
        save(draw_episode(episode), path)
    print(path)
    return 0

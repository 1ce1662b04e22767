"""``tide train``: train a preset on a data set, or continue a run."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from tide.cli.parse import parse
from tide.cli.train_arguments import TrainArguments
from tide.config import Config, FolderConfig, HubConfig, data_config
from tide.config.io import from_dict, read_yaml, to_yaml
from tide.device import set_threads
from tide.errors import ConfigError, did_you_mean
from tide.models.presets import MODELS, TASKS, preset

DESCRIPTION = (
    f"Train a preset on a data set: tide train PRESET [OPTIONS]. PRESET is one of {', '.join(TASKS)}, or MODEL.TASK "
    f"with MODEL one of {', '.join(model for model in MODELS if model != 'tide')}."
)


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    name, base, rest = _base(arguments)
    given = parse(
        TrainArguments,
        rest,
        prog=f"tide train {name or 'PRESET'}",
        description=DESCRIPTION,
        default=TrainArguments(settings=base),
    )
    # Only now torch and the data: --help and most mistakes need neither.
    _announce()
    from tide.cli import training

    set_threads(given.threads)
    if given.resume is not None and given.out is not None:
        raise ConfigError(f"--out is {given.out}, but --resume goes on in {given.resume}: leave one of them out")
    if given.print_config:
        print(to_yaml(training.settings(given)), end="")
        return 0
    if given.dry_run:
        return training.dry_run(given)
    return training.resume(given) if given.resume is not None else training.start(given, name or "run")


def _announce() -> None:
    """Say that it goes on, once, before the seconds that PyTorch takes to load."""
    if "torch" not in sys.modules and os.environ.get("RANK", "0") == "0":
        # Not printed: where nobody reads, nothing of it may be left in a buffer to fail later.
        with contextlib.suppress(OSError, ValueError):
            os.write(sys.stderr.fileno(), b"tide: loading PyTorch ...\n")


def _base(arguments: Sequence[str]) -> tuple[str | None, Config, list[str]]:
    """Return the preset's name, the settings that options change, and the remaining arguments.

    Settings come from the preset, from ``--config`` on top of it, or from the run to be resumed.
    """
    rest = list(arguments)
    name = rest.pop(0) if rest and not rest[0].startswith("-") else None
    file, resumed = _value(rest, "--config"), _value(rest, "--resume")
    if name is not None:
        base = preset(name)
    elif resumed is not None:
        _announce()
        from tide.runs.folder import RunFolder

        base = RunFolder.open(Path(resumed)).config
    else:
        base = Config()
        if file is None and not {"-h", "--help"} & set(rest):
            raise ConfigError(_no_preset(_value(rest, "--data")))
    if file is not None:
        base = read_yaml(Config, file, base=base)
    data = _value(rest, "--data")
    if data is not None:  # before the other options of the data, which must fit this one and not the preset's
        _announce()
        from tide.train.supervised import with_data

        base = with_data(base, data)
    for section in ("backbone", "core", "data"):
        kind = _value(rest, f"--{section}.kind")
        if kind is not None:
            base = from_dict(Config, {section: {"kind": kind}}, base=base)
            # Of a section's options the parser knows those of one kind: it would refuse one given before.
            rest = _without(rest, f"--{section}.kind")
    return name, base, rest


def _no_preset(data: str | None) -> str:
    """Say in one line that a preset is wanted, and which one suits the data."""
    wanted = "no preset given, the name of one is wanted"
    if data and isinstance(data_config(data), FolderConfig | HubConfig):
        return f"{wanted}: tide train photos --data {data}, or photos.small"
    return f"{wanted}{did_you_mean(data or '', TASKS)}; or --config FILE or --resume RUN"


def _without(arguments: Sequence[str], option: str) -> list[str]:
    """Return the arguments without an option that takes one value."""
    kept = [word for word in arguments if not word.startswith(f"{option}=")]
    while option in kept:
        place = kept.index(option)
        del kept[place : place + 2]
    return kept


def _value(arguments: Sequence[str], option: str) -> str | None:
    """Return the value of an option that must be known before the others can be parsed; of several, the last."""
    value = None
    for argument, following in pairwise([*arguments, "--"]):
        if argument == option and not following.startswith("--"):
            value = following
        elif argument.startswith(option + "="):
            value = argument.split("=", 1)[1]
    return value

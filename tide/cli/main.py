"""The command ``tide``: what each subcommand needs is imported only when it is called."""

from __future__ import annotations

import importlib
import io
import os
import sys
import warnings
from collections.abc import Sequence
from typing import NamedTuple

from tide.errors import InputError, did_you_mean


class Command(NamedTuple):
    """What a command is for, the function that runs it as ``module:function``, and whether it reads settings of runs.

    Those that do know the extensions of installed packages.
    """

    text: str
    place: str
    settings: bool = True


COMMANDS = {
    "train": Command("train a preset on a data set, or continue a run", "train:run"),
    "eval": Command("accuracy of a run on a whole test split, at every tick", "eval:run"),
    "predict": Command("classify images: label, certainty, ticks used", "eval:predict"),
    "show": Command("one picture of how a model thinks about an image, or of how its training went", "show:run"),
    "export": Command("a trained model as ONNX, or as a page to watch it think", "export:run"),
    "demo": Command("the page to draw on and watch models think, served on this machine", "export:demo"),
    "robustness": Command("trained models on corrupted and otherwise shifted test images", "robustness:run"),
    "compare": Command("train several models under equal conditions and put them side by side", "studies:compare"),
    "ablate": Command("run named studies of one setting or part at a time", "studies:ablate"),
    "stability": Command("what is proved, and what was measured, of a run's stability", "stability:run"),
    "models": Command("list the trained models that come with TIDE", "lists:models", settings=False),
    "data": Command("list the data sets found, or fetch one", "lists:data", settings=False),
    "presets": Command("list the presets with their parameters, ticks and steps", "lists:presets", settings=False),
}

TRACEBACK = "TIDE_TRACEBACK"
"""Environment variable that lets an error of the machine show where in the program it came up."""

USAGE = """\
usage: tide COMMAND [OPTIONS]

TIDE: image classifiers that think in internal ticks with excitatory and inhibitory neurons.

commands:
{commands}

`tide COMMAND --help` explains one. `tide train digits` is a start: offline, about a minute.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; bad input prints one line and returns 2."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        listing = "\n".join(f"  {name:<9} {command.text}" for name, command in COMMANDS.items())
        print(USAGE.format(commands=listing), end="")
        return 0
    if arguments[0] in ("-V", "--version"):
        from tide import __version__

        print(f"tide {__version__}")
        return 0
    _one_line_warnings()
    try:
        name = arguments[0]
        if name not in COMMANDS:
            raise InputError(f"unknown command {name!r}{did_you_mean(name, COMMANDS)}")
        command = COMMANDS[name]
        if command.settings:
            from tide.config.base import load_extensions

            load_extensions()
        module, _, function = command.place.partition(":")
        run = getattr(importlib.import_module(f"tide.cli.{module}"), function)
        return int(run(arguments[1:]))
    except InputError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print("tide: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of a pipe went away (`tide presets | head`); nothing is left to tell it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, MemoryError, RecursionError, RuntimeError) as error:
        if os.environ.get(TRACEBACK) or not _from_outside(error):
            raise
        return _fail(f"{_what(error)}; {TRACEBACK}=1 shows where")


def _fail(text: str) -> int:
    """Say in one line what is wrong; return the exit code."""
    # Text of others, a name of a file or a library's message, may hold line breaks.
    print(f"tide: error: {' '.join(text.split())}", file=sys.stderr)
    return 2


def _from_outside(error: BaseException) -> bool:
    """Say whether the machine is at fault, disk or memory, and not the program: such an error is told in one line."""
    return not isinstance(error, RuntimeError) or isinstance(error, RecursionError) or "alloc" in str(error).lower()


def _what(error: BaseException) -> str:
    """Return in one line what went wrong, and what to do."""
    if isinstance(error, RecursionError):
        return "a file is nested too deeply; give a plain one"
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}; give a file or folder that can be read and written"
    return "there is not enough memory; lower the batch, the ticks or the number of neurons"


def _one_line_warnings() -> None:
    """Print warnings on one line; never fail on characters that the terminal cannot encode."""
    warnings.showwarning = lambda message, *_, **__: print(f"tide: warning: {message}", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


if __name__ == "__main__":
    sys.exit(main())

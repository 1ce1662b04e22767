"""The command ``tide``: one thin module per subcommand, imported only when it is called."""

from __future__ import annotations

import importlib
import io
import os
import sys
import warnings
from collections.abc import Sequence

from tide.errors import InputError, did_you_mean

COMMANDS = {
    "train": "train a preset on a data set, or continue a run",
    "eval": "accuracy of a run on a whole test split, at every tick",
    "predict": "classify images: label, certainty, ticks used",
    "show": "one picture of how a model thinks about an image, or of how its training went",
    "export": "a trained model as ONNX, or as a page to watch it think",
    "demo": "the page to draw on and watch models think, served on this machine",
    "robustness": "trained models on corrupted and otherwise shifted test images",
    "compare": "train several models under equal conditions and put them side by side",
    "ablate": "run named studies of one setting or part at a time",
    "study": "start, continue and report a study of many hours",
    "stability": "what is proved, and what was measured, of a run's stability",
    "models": "list the trained models that come with TIDE",
    "data": "list the data sets found, or fetch one",
    "presets": "list the presets with their parameters, ticks and steps",
}

WITHOUT_SETTINGS = ("models", "data", "presets")
"""Commands that read no settings of a run, and so need no extension."""

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
        listing = "\n".join(f"  {name:<9} {text}" for name, text in COMMANDS.items())
        print(USAGE.format(commands=listing), end="")
        return 0
    if arguments[0] in ("-V", "--version"):
        from tide import __version__

        print(f"tide {__version__}")
        return 0
    _speak_plainly()
    try:
        command = arguments[0]
        if command not in COMMANDS:
            raise InputError(f"unknown command {command!r}{did_you_mean(command, COMMANDS)}")
        if command not in WITHOUT_SETTINGS:
            from tide.config.base import load_extensions

            load_extensions()
        module = importlib.import_module(f"tide.cli.{command}")
        return int(module.run(arguments[1:]))
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
        return "something given is nested too deeply, a plain file is wanted"
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}, a file or folder that can be read and written is wanted"
    return "there is not enough memory, more is wanted: lower the batch, the ticks or the number of neurons"


def _speak_plainly() -> None:
    """Let warnings take one line, and let no terminal or file end the command because it knows few characters."""
    warnings.showwarning = lambda message, *_, **__: print(f"tide: warning: {message}", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


if __name__ == "__main__":
    sys.exit(main())

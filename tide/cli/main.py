"""The command ``tide``: one thin module per subcommand, imported only when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from tide.errors import InputError, did_you_mean

COMMANDS = {
    "train": "train a preset on a data set, or continue a run",
    "eval": "accuracy of a run on a whole test split, at every tick",
    "predict": "classify images: label, certainty, ticks used",
    "show": "one picture of how a model thinks about an image, or of how its training went",
    "robustness": "trained models on corrupted and otherwise shifted test images",
    "compare": "train several models under equal conditions and put them side by side",
    "ablate": "run named studies of one setting or part at a time",
    "study": "start, continue and report a study of many hours",
    "stability": "what is proved, and what was measured, of a run's stability",
    "data": "list the data sets found, or fetch one",
    "presets": "list the presets with their parameters, ticks and steps",
}

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
    try:
        command = arguments[0]
        if command not in COMMANDS:
            raise InputError(f"unknown command {command!r}{did_you_mean(command, COMMANDS)}")
        module = importlib.import_module(f"tide.cli.{command}")
        return int(module.run(arguments[1:]))
    except InputError as error:
        print(f"tide: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("tide: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of a pipe went away (`tide presets | head`); nothing is left to tell it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())

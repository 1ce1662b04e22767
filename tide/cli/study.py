"""``tide study``: long studies of many sessions; each call goes on where the last one was stopped, and reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro

from tide.cli.parse import parse
from tide.cli.study_arguments import RunnerArguments, check_steps
from tide.errors import InputError


@dataclass(frozen=True, kw_only=True)
class PaperTableArguments(RunnerArguments):
    """Options of a study."""

    name: Annotated[Literal["paper-table"], tyro.conf.Positional]
    """paper-table: the small rows of the paper's Table 1, trained in full at 10 ticks."""
    rows: tuple[str, ...] = ()
    """Only these runs, in this order (none: all; --list names them)."""
    list: bool = False
    """Name the runs and how far each is, and stop."""
    report: bool = False
    """Report what is there without training."""
    steps: int | None = None
    """Optimiser steps of each run in place of the paper's."""


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    given = parse(
        PaperTableArguments,
        arguments,
        prog="tide study",
        description="Start, continue and report a long study; stop it whenever you like.",
    )
    check_steps(given.steps)
    from tide.cli.studying import finish, make_runner
    from tide.plots.studies import draw_paper_table
    from tide.plots.training import draw_training
    from tide.studies.paper_table import markdown, rows_named, table
    from tide.studies.publish import save_study, told
    from tide.studies.runner import last_timing

    rows = rows_named(given.rows)
    trials = [row.trial(given.steps) for row in rows]
    out = given.out or Path("runs") / given.name
    if given.list:
        for trial in trials:
            print(f"{trial.name:<28} {last_timing(trial.folder(out))[0]:>7,} of {trial.config.train.steps:,} steps")
        return 0
    outcome = make_runner(out, given).run(trials) if not given.report else None
    result = {**table(rows, given.steps, out), "command": told("study", arguments)}
    if not result["rows"]:
        raise InputError(f"{out} holds no run yet, one is wanted for a report: leave --report out to train")
    text = markdown(result)
    drawn = [name for name, row in result["rows"].items() if row["curve"]]
    figures = {f"{name}.png": partial(draw_training, out / name) for name in drawn}
    save_study(out, given.name, result, text, {f"{given.name}.png": partial(draw_paper_table, result), **figures})
    print(text, end="")
    print(f"\n{out}: {given.name}.json, {given.name}.md, {given.name}.png, and a picture of each run")
    return finish(outcome, out, f"tide study {given.name}") if outcome is not None else 0

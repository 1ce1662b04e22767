"""``tide ablate``: named studies of one setting or part at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from tide.cli.parse import parse
from tide.cli.study_arguments import StudyArguments, check_steps
from tide.errors import InputError


@dataclass(frozen=True, kw_only=True)
class AblateArguments(StudyArguments):
    """Options of an ablation."""

    task: Annotated[str | None, tyro.conf.Positional] = None
    """The preset's name without a model, as mnist or parity.16; without it the studies are listed."""
    studies: tuple[str, ...] = ("all",)
    """Names of studies, or all."""
    steps: int = 250
    """Optimiser steps of each run."""
    seed: int = 42
    """Seed of every variant."""
    spread_seeds: tuple[int, ...] = (42, 43, 44, 45, 46)
    """Seeds of the baseline: their spread says which differences mean something."""
    rounds: int = 5
    """Training steps of each variant, in turn with the baseline's, that its time factor is measured by; 0: none."""


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    given = parse(
        AblateArguments,
        arguments,
        prog="tide ablate",
        description="Run named studies of one setting or part at a time; without a task, list them.",
    )
    from tide.studies.ablation import STUDIES, ablation_variants

    if given.task is None:
        for name, study in STUDIES.items():
            print(f"{name:<26} {study.told}")
        return 0
    from rich.console import Console

    from tide.cli.studying import changes_of, finish, make_runner, read_facts
    from tide.device import pick_device, set_threads
    from tide.plots.halting import draw_ticks, has_ticks
    from tide.plots.studies import draw_ablation
    from tide.studies.ablation import ablation_result, markdown, step_time_factors
    from tide.studies.publish import save_study, told
    from tide.studies.runner import check_seeds

    check_seeds(given.spread_seeds)
    check_steps(given.steps)
    if given.rounds < 0:
        raise InputError(f"--rounds is {given.rounds}, 0 (no time factors) or more are wanted")
    names = tuple(STUDIES) if given.studies == ("all",) else given.studies
    changes = changes_of(given)
    with Console(stderr=True).status("choosing the runs"):
        trials, variants = ablation_variants(
            given.task, names, changes, steps=given.steps, seed=given.seed, spread_seeds=given.spread_seeds
        )
    out = given.out or Path("runs") / f"ablate-{given.task}"
    runner = make_runner(out, given)
    outcome = runner.run(trials)
    facts = read_facts(trials, outcome, out)
    if trials[0].name in facts and not outcome.stopped:
        set_threads(runner.threads)  # as the runs had
        finished = [variant for variant in variants if variant.trial.name in facts]
        with Console(stderr=True).status("step times") as status:

            def show(name: str, done: int, total: int) -> None:
                status.update(f"step times: {done} of {total} variants done, now {name}")

            device = pick_device(given.device)
            factors = step_time_factors(finished, out, given.rounds, device, show) if given.rounds else {}
        result = ablation_result(facts, variants, given.seed, factors)
        result["command"] = told("ablate", arguments)
        text = markdown(result)
        pictures = {"ablation.png": lambda: draw_ablation(result)}
        if has_ticks(result):
            pictures["ticks.png"] = lambda: draw_ticks(result)
        save_study(out, "ablation", result, text, pictures)
        print(text, end="")
        print(f"\n{out}: ablation.json, ablation.md, {', '.join(pictures)}")
    return finish(outcome, out, "tide ablate")

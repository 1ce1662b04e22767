"""How well models act, side by side: ``python benchmarks/agents.py RUN... --out results/agents/NAME``.

Runs of one model and several seeds, whose names differ in the seed at the end (``ctm.cartpole.small-42``), are one row.
Each RUN's best checkpoint acts in 100 fixed episodes, others than those that it was chosen by; what its state knows of
the hidden quantities is read by a linear read-out. Writes NAME.json, NAME.md and NAME.png.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from matplotlib.figure import Figure
from reporting import check_names, groups, interval, origin, publish

from tide.errors import InputError
from tide.models.load import load
from tide.plots.returns import draw_learning
from tide.rl.agent import Agent
from tide.rl.evaluate import FINAL, known, play
from tide.runs.folder import RunFolder, step_rates


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Read how well models act."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders of models that act in one environment."""
    out: Path
    """Path without extension."""
    marks: tuple[float, ...] = (100.0, 190.0)
    """Returns whose first evaluation at or above them is reported."""
    episodes: int = 100
    threads: int = 1


def read(path: Path, settings: Settings) -> dict[str, Any]:
    """Return what one run says."""
    folder = RunFolder.open(path)
    config, agent = folder.control, Agent(load(path))
    evaluations, rates = folder.metrics("evaluation"), step_rates(folder.timing())
    returns = {
        name: play(agent, config, FINAL, settings.episodes, greedy=greedy).returns
        for name, greedy in (("sampled", False), ("greedy", True))
    }
    reached = {
        f"{mark:g}": next((line["step"] for line in evaluations if line["return_sampled"] >= mark), None)
        for mark in settings.marks
    }
    return {
        "environment": config.task.name,
        "seed": config.seed,
        "steps": folder.results()["step"],
        "parameters": sum(p.numel() for p in agent.model.parameters()),
        **{name: {"mean": float(values.mean()), "least": float(values.min())} for name, values in returns.items()},
        "reached": reached,
        "steps_per_second": statistics.median(rates),
        "known": asdict(known(agent, config)),
        "evaluations": [[line["step"], line["return_sampled"], line["return_greedy"]] for line in evaluations],
    }


def markdown(result: Mapping[str, Any]) -> str:
    """Return the tables."""
    runs = result["runs"]
    first = next(iter(runs.values()))
    marks, quantities = list(first["reached"]), list(first["known"]["observation"])
    lines = [
        f"{first['environment']}, {first['steps']:,} environment steps; {result['episodes']} fixed episodes that chose "
        "nothing. ±: half an interval of 95 % over seeds.",
        "",
        "| | seeds | parameters | return as trained | greedy | "
        + " | ".join(f"steps to {mark}" for mark in marks)
        + " | steps/s |",
        "|---" * (6 + len(marks)) + "|",
    ]
    for name, some in groups(runs).items():
        cells = [interval([run[kind]["mean"] for run in some]) for kind in ("sampled", "greedy")]
        for mark in marks:
            steps = [run["reached"][mark] for run in some]
            cells.append(", ".join("-" if step is None else f"{step / 1000:.0f}K" for step in steps))
        rate = statistics.median(run["steps_per_second"] for run in some)
        lines.append(f"| {name} | {len(some)} | {some[0]['parameters']:,} | {' | '.join(cells)} | {rate:,.0f} |")
    lines += [
        "",
        "What a linear read-out knows of what is never shown, R² on other episodes, mean over seeds: from the "
        "observation / from the neurons' activity / from what actor and critic read.",
        "",
        "| | " + " | ".join(quantities) + " |",
        "|---" * (1 + len(quantities)) + "|",
    ]
    for name, some in groups(runs).items():
        cells = []
        for quantity in quantities:
            means = [
                statistics.fmean(run["known"][source][quantity] for run in some)
                for source in ("observation", "activity", "read")
            ]
            cells.append(" / ".join(f"{mean:.2f}" for mean in means))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def report(settings: Settings) -> dict[str, Any]:
    """Return what all runs say; raises :class:`InputError` for several environments."""
    check_names(settings.runs)
    runs = {path.name: read(path, settings) for path in settings.runs}
    places = sorted({run["environment"] for run in runs.values()})
    if len(places) > 1:
        raise InputError(f"all runs must act in one environment, got {', '.join(places)}; report each")
    return {"episodes": settings.episodes, "runs": runs, **origin(settings.runs)}


def main() -> None:
    """Run the command."""
    settings = tyro.cli(Settings, description=__doc__)
    torch.set_num_threads(settings.threads)
    paths = {path.name: path for path in settings.runs}

    def draw(_: Mapping[str, Any]) -> Figure:
        return draw_learning(groups(paths))

    publish("agents", settings.out, lambda: report(settings), markdown, draw)


if __name__ == "__main__":
    main()

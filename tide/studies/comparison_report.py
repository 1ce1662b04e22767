"""What the runs of a comparison say together, as data and as a Markdown table (the paper's Tables 1, A.3)."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any

from tide.errors import InputError
from tide.evaluate.agreement import agreement, cohens_kappa, joint_outcomes
from tide.runs.facts import RunFacts, mean_and_std

Runs = Mapping[str, Sequence[RunFacts]]
"""The runs of each model by its name."""


def check_comparable(runs: Runs) -> None:
    """Raise :class:`InputError` unless all runs saw the same data: the same set, test images and number of steps."""
    every = [run for group in runs.values() for run in group]
    first = every[0]
    for run in every[1:]:
        if run.config.data.title != first.config.data.title:
            raise InputError(
                f"{run.path} was trained on {run.config.data.title}, {first.path} on {first.config.data.title}: only "
                "runs on the same data can be compared"
            )
        if not run.answers["label"].equal(first.answers["label"]):
            raise InputError(f"{run.path} and {first.path} were tested on different images: they cannot be compared")


def same_batches(runs: Runs) -> bool:
    """Say whether all models saw the same images in the same order, seed by seed, at every step that was read."""
    groups: dict[int, list[RunFacts]] = {}
    for group in runs.values():
        for run in group:
            groups.setdefault(run.config.seed, []).append(run)
    return all(run.data_crc == group[0].data_crc for group in groups.values() for run in group)


def compare(runs: Runs, reach: Sequence[float]) -> dict[str, Any]:
    """Return the comparison as plain data; raises :class:`InputError` for runs that cannot be compared."""
    check_comparable(runs)
    first = next(iter(runs.values()))[0]
    return {
        "data": first.config.data.title,
        "measured_on": first.config.data.measured_on,
        "test_images": len(first.answers["label"]),
        "steps": first.config.train.steps,
        "batch": first.config.train.batch * first.config.train.accumulation,
        "ticks": first.config.core.ticks,
        "curve_images": min(first.config.train.probe_images, len(first.answers["label"])),
        "same_batches": same_batches(runs),
        "models": {name: _model(group, reach) for name, group in runs.items()},
        "pairs": {f"{a} and {b}": _pair(runs[a], runs[b]) for a, b in combinations(runs, 2)},
        "runs": {run.path.name: _provenance(run) for group in runs.values() for run in group},
    }


def _model(group: Sequence[RunFacts], reach: Sequence[float]) -> dict[str, Any]:
    ratios = [run.last["ei_ratio"] for run in group]
    hedging: list[Any] = [run.last.get("hedging") for run in group]
    whole: list[Any] = [run.last.get("whole_accuracy") for run in group]
    ticks = zip(*(run.last["accuracy_per_tick"] for run in group), strict=True)
    points = {step for run in group for step, _ in run.curve}
    curves = [dict(run.curve) for run in group]
    return {
        "seeds": [run.config.seed for run in group],
        "parameters": group[0].parameters(),
        "best_accuracy": mean_and_std([run.best_accuracy for run in group]),
        "last_accuracy": mean_and_std([run.last_accuracy for run in group]),
        "last_tick_accuracy": mean_and_std([run.last["accuracy_last_tick"] for run in group]),
        "whole_accuracy": mean_and_std(whole) if None not in whole else None,
        # Runs of earlier versions did not read it.
        "hedging": mean_and_std(hedging) if None not in hedging else None,
        "certainty": mean_and_std([run.last["certainty"] for run in group]),
        "calibration_error": mean_and_std([run.last["calibration_error"] for run in group]),
        "ei_ratio": mean_and_std(ratios) if None not in ratios else None,
        "steps_per_second": statistics.median(run.steps_per_second for run in group),
        "reach": [_reach(group, accuracy) for accuracy in reach],
        "accuracy_per_tick": [mean_and_std(values) for values in ticks],
        "curve": [
            {"step": step, **mean_and_std([curve[step] for curve in curves if step in curve])}
            for step in sorted(points)
        ],
    }


def _reach(group: Sequence[RunFacts], accuracy: float) -> dict[str, Any]:
    """Median steps and seconds over the seeds that get there, and how many do."""
    steps = [step for run in group if (step := run.steps_to(accuracy)) is not None]
    seconds = [value for run in group if (value := run.seconds_to(accuracy)) is not None]
    return {
        "accuracy": accuracy,
        "seeds": len(steps),
        "steps": statistics.median(steps) if steps else None,
        "seconds": statistics.median(seconds) if seconds else None,
    }


def _pair(first: Sequence[RunFacts], second: Sequence[RunFacts]) -> dict[str, Any]:
    """Joint outcomes of two models, averaged over the seeds that both have."""
    seconds = {run.config.seed: run for run in second}
    pairs = [(run, seconds[run.config.seed]) for run in first if run.config.seed in seconds]
    rows = []
    for a, b in pairs:
        # Every position of an answer counts; what is not emitted is a class of its own.
        label, of_a, of_b = (x.flatten() + 1 for x in (a.answers["label"], a.answers["answer"], b.answers["answer"]))
        rows.append(
            {
                **joint_outcomes(of_a == label, of_b == label)._asdict(),
                "agreement": agreement(of_a, of_b),
                "kappa": cohens_kappa(of_a, of_b, a.config.output.classes + 1),
            }
        )
    return {"seeds": len(rows)} | {
        name: statistics.fmean(row[name] for row in rows) for name in (rows[0] if rows else ())
    }


def _provenance(run: RunFacts) -> dict[str, Any]:
    kept = ("commit", "version", "processor", "threads")
    numbers = {"best_accuracy": run.best_accuracy, "last_accuracy": run.last_accuracy}
    return {"seed": run.config.seed, **numbers} | {name: run.environment.get(name) for name in kept}


def markdown(result: Mapping[str, Any]) -> str:
    """Return the comparison as Markdown: the table, sample efficiency, joint outcomes."""
    models = result["models"]
    rows: list[tuple[str, Callable[[Mapping[str, Any]], str]]] = [
        ("best accuracy, %", lambda m: _percent(m["best_accuracy"])),
        ("last accuracy, %", lambda m: _percent(m["last_accuracy"])),
        ("last accuracy at the last tick, %", lambda m: _percent(m["last_tick_accuracy"])),
        ("hedging, points", lambda m: _percent(m["hedging"]) if m["hedging"] else "-"),
        ("mean certainty", lambda m: _plain(m["certainty"])),
        ("expected calibration error", lambda m: _plain(m["calibration_error"])),
        ("E-I ratio", lambda m: _plain(m["ei_ratio"]) if m["ei_ratio"] else "-"),
        ("parameters", lambda m: f"{m['parameters']:,}"),
        ("steps per second", lambda m: f"{m['steps_per_second']:.2f}"),
    ]
    if any(model["whole_accuracy"] for model in models.values()):
        rows.insert(2, ("last accuracy, whole answers, %", lambda m: _percent(m["whole_accuracy"])))
    reached = [entry["accuracy"] for entry in next(iter(models.values()))["reach"]]
    for index, accuracy in enumerate(reached):
        rows.append((f"steps (seconds) to {100 * accuracy:g} %", partial(_reached, index)))
    lines = [
        f"# {result['data']}: {', '.join(models)}",
        "",
        f"{result['steps']} steps of {result['batch']} images, {result['ticks']} ticks, {result['test_images']} "
        f"{result['measured_on']} images; mean ± standard deviation over seeds. The same batches in the same "
        f"order for every model: **{'yes' if result['same_batches'] else 'NO'}**.",
        "",
        "| | "
        + " | ".join(f"{name} ({len(m['seeds'])} seed{'s' * (len(m['seeds']) > 1)})" for name, m in models.items())
        + " |",
        "|---|" + "---|" * len(models),
    ]
    lines += [f"| {title} | " + " | ".join(show(m) for m in models.values()) + " |" for title, show in rows]
    lines += [
        "",
        "Accuracies are those at the most certain tick. Steps and training seconds to an accuracy: the median over "
        f"seeds of the first point of the learning curve there, on the first {result['curve_images']} of "
        "these images.",
    ]
    if result["pairs"]:
        lines += [
            "",
            "| | both right, % | only the first, % | only the second, % | none, % | same answer, % | Cohen's κ |",
            "|---|---|---|---|---|---|---|",
        ]
        for name, pair in result["pairs"].items():
            shares = [f"{100 * pair[key]:.2f}" for key in ("both", "only_first", "only_second", "none", "agreement")]
            lines.append(f"| {name} | " + " | ".join(shares) + f" | {pair['kappa']:.3f} |")
    return "\n".join(lines) + "\n"


def _percent(value: Mapping[str, float | None]) -> str:
    return _with_spread(100 * (value["mean"] or 0.0), None if value["std"] is None else 100 * value["std"], 2)


def _plain(value: Mapping[str, float | None]) -> str:
    return _with_spread(value["mean"] or 0.0, value["std"], 3)


def _with_spread(mean: float, std: float | None, digits: int) -> str:
    return f"{mean:.{digits}f}" + (f" ± {std:.{digits}f}" if std is not None else "")


def _reached(index: int, model: Mapping[str, Any]) -> str:
    entry = model["reach"][index]
    if entry["steps"] is None:
        return "not reached"
    missing = len(model["seeds"]) - entry["seeds"]
    seconds = f" ({entry['seconds']:.0f})" if entry["seconds"] is not None else ""
    return f"{entry['steps']:g}{seconds}" + (f", {missing} of {len(model['seeds'])} seeds never" if missing else "")

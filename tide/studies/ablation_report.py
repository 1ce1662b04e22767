"""What the runs of an ablation say, as data and as Markdown tables (the paper's Tables 2 and A.4 to A.8)."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from tide.runs.facts import RunFacts
from tide.studies.ablation import BASELINE, STUDIES, Variant

DRIFT = 0.02  # how far the last accuracy may lie under the best
COLLAPSE = 0.5  # how far the E-I ratio may lie off its target, as a share of it
DISTINCT = 2.0  # standard deviations over the baseline's seeds that tell two runs apart


def ablation_result(
    facts: Mapping[str, RunFacts], variants: Sequence[Variant], seed: int, factors: Mapping[str, float]
) -> dict[str, Any]:
    """Return the ablation as plain data, from the finished runs by trial name; variants without a run are left out.

    ``factors`` gives by trial name the time of a training step over that of the run it is compared with.
    """
    baselines = [run for name, run in facts.items() if name.startswith(f"{BASELINE}-")]
    base = facts[f"{BASELINE}-{seed}"]
    last = [run.last_accuracy for run in baselines]
    spread = statistics.stdev(last) if len(last) > 1 else None
    result: dict[str, Any] = {
        "data": base.config.data.title,
        "steps": base.config.train.steps,
        "batch": base.config.train.batch * base.config.train.accumulation,
        "ticks": base.config.core.ticks,
        "seed": seed,
        "measured_on": base.config.data.measured_on,
        "test_images": len(base.answers["label"]),
        "baseline": {
            "seeds": [run.config.seed for run in baselines],
            "best_accuracy": statistics.fmean(run.best_accuracy for run in baselines),
            "last_accuracy": statistics.fmean(last),
            "last_accuracies": last,
            "spread": spread,
        },
        "studies": {},
        "commits": sorted({str(run.environment.get("commit")) for run in facts.values()}),
        "processor": base.environment.get("processor"),
        "threads": base.environment.get("threads"),
    }
    for name in dict.fromkeys(variant.study for variant in variants):
        rows = [variant for variant in variants if variant.study == name and variant.trial.name in facts]
        result["studies"][name] = {
            "title": STUDIES[name].title,
            "data": rows[0].trial.config.data.title if rows else base.config.data.title,
            "rows": [_row(variant, facts, result["baseline"], factors) for variant in rows],
        }
    return result


def _row(
    variant: Variant, facts: Mapping[str, RunFacts], baseline: Mapping[str, Any], factors: Mapping[str, float]
) -> dict[str, Any]:
    run, reference = facts[variant.trial.name], variant.reference.name
    accuracy, spread = baseline["last_accuracy"], baseline["spread"]
    if not reference.startswith(f"{BASELINE}-"):  # on data of its own there is no spread to be judged by
        accuracy, spread = facts[reference].last_accuracy if reference in facts else None, None
    difference = run.last_accuracy - accuracy if accuracy is not None else None
    return {
        "variant": variant.name,
        "is_baseline": variant.trial.name == reference,
        "best_accuracy": run.best_accuracy,
        "last_accuracy": run.last_accuracy,
        "ticks": run.config.core.ticks,
        "neurons": getattr(run.config.core, "neurons", None),
        "whole_accuracy": run.last.get("whole_accuracy"),
        "accuracy_per_tick": run.last["accuracy_per_tick"],
        "ei_ratio": run.last["ei_ratio"],
        "time_factor": factors.get(variant.trial.name),
        "difference": difference,
        "distinguishable": abs(difference) >= DISTINCT * spread if difference is not None and spread else None,
        "drift": run.best_accuracy - run.last_accuracy > DRIFT,
        "silent": silent_population(run),
        "rejected_steps": run.rejected,
    }


def silent_population(run: RunFacts) -> str | None:
    """Return ``"E"`` or ``"I"``, the one of lower mean rate, where the E-I ratio is off its target by more than half.

    The rates are those of the stability monitor's last reading: the ratio alone does not say who fell silent.
    """
    ratio, core = run.last["ei_ratio"], run.config.core
    target = getattr(core, "ratio_target", None)
    if ratio is None or target is None or abs(ratio - target) <= COLLAPSE * target:
        return None
    return "E" if run.monitor["rate_e"] < run.monitor["rate_i"] else "I"


def markdown(result: Mapping[str, Any]) -> str:
    """Return the ablation as Markdown, a table per study."""
    baseline, spread = result["baseline"], result["baseline"]["spread"]
    known = f", standard deviation {100 * spread:.2f} points" if spread is not None else ""
    lines = [
        f"# Ablations on {result['data']}",
        "",
        f"{result['steps']} steps of {result['batch']} images, {result['ticks']} ticks unless the study says "
        f"otherwise, seed {result['seed']}, {result['test_images']} {result['measured_on']} images. Baseline over "
        f"{len(baseline['seeds'])} seeds: last accuracy {100 * baseline['last_accuracy']:.2f} %{known}.",
        "",
        "Whole: answers right at every position. Δ is the last accuracy less the baseline's mean, in points; under "
        "twice the standard deviation it is *not distinguishable*. † the last accuracy lies more than 2 points under "
        "the best. ‡ the E-I ratio is off its target by more than half; the population named is the one with the lower "
        "mean rate. The time factor is the time of a training step over the baseline's, both measured in turn.",
    ]
    for study in result["studies"].values():
        where = f" ({study['data']})" if study["data"] != result["data"] else ""
        lines += [
            "",
            f"## {study['title'][0].upper()}{study['title'][1:]}{where}",
            "",
            "| variant | best, % | last, % | whole, % | Δ, points | E-I ratio | time factor | |",
            "|---|---|---|---|---|---|---|---|",
        ]
        lines += [_line(row) for row in study["rows"]]
    return "\n".join(lines) + "\n"


def _line(row: Mapping[str, Any]) -> str:
    remarks = []
    if row["is_baseline"]:
        remarks.append("baseline")
    elif row["distinguishable"] is False:
        remarks.append("not distinguishable")
    if row["silent"] is not None:
        remarks.append(f"{row['silent']} silent")
    if row["rejected_steps"]:
        remarks.append(f"{row['rejected_steps']} steps rejected")
    marks = "†" * row["drift"] + "‡" * (row["silent"] is not None)
    ratio = f"{row['ei_ratio']:.3g}" if row["ei_ratio"] is not None else "-"
    factor = f"{row['time_factor']:.2f}" if row["time_factor"] is not None else "-"
    whole = f"{100 * row['whole_accuracy']:.2f}" if row["whole_accuracy"] is not None else "-"
    difference = f"{100 * row['difference']:+.2f}" if row["difference"] is not None else "-"
    return (
        f"| {row['variant']} | {100 * row['best_accuracy']:.2f} | {100 * row['last_accuracy']:.2f}{marks} | "
        f"{whole} | {difference} | {ratio} | {factor} | {', '.join(remarks)} |"
    )

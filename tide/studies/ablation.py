"""Ablations: named changes of one experiment, and what their runs say (the paper's Tables 2, A.4 to A.8)."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tide.analysis.costs import count_costs
from tide.config import Config
from tide.config.io import differences, from_dict
from tide.errors import CheckpointError, ConfigError, TrainingError, did_you_mean
from tide.files import number, percent, read_mapping, table, write_json
from tide.runs.folder import RunFacts, describe_environment
from tide.studies.comparison import budget, task_config
from tide.studies.runner import Trial
from tide.train.step import alternate, step_on_random_images

# What internal ticks buy: the same network with fewer and more of them, and at equal operations.
#
# At equal parameters a network with fewer ticks also computes less, so what more ticks gain could be had by computing
# more; at equal operations it gets as many neurons as make up for the ticks it lacks.


PAPER = (10, 25, 50, 75, 100)  # Table 2 v
UNIT = 10  # neurons: whole numbers of both populations at 80:20
NEAR = 0.05  # how far operations may lie off the baseline's, as a share of them


def tick_counts(base: Config) -> tuple[int, ...]:
    """Return the numbers of ticks to compare: the paper's for images, else the task's own, twice it and its halves.

    A list that is emitted over the ticks needs at least as many of them as it has symbols.
    """
    if base.classifies_images:
        return PAPER
    own = base.core.ticks
    halves = [own // 2**power for power in range(own.bit_length()) if own // 2**power >= max(1, base.output.emitted)]
    return (*reversed(halves), 2 * own)


def at_equal_parameters(base: Config) -> Mapping[str, Mapping[str, Any]]:
    """Return the changes that give ``base`` each number of ticks, by the number."""
    return {str(ticks): {"core": {"ticks": ticks}} for ticks in tick_counts(base)}


def at_equal_operations(base: Config) -> Mapping[str, Mapping[str, Any]]:
    """Return the changes that give ``base`` each number of ticks and, by the neurons, its own operations.

    Operations are those of a training step (:func:`tide.analysis.costs.count_costs`). Left out are the numbers of ticks
    at which no number of neurons comes within 5 % of them: a tick's attention and read-out cost something without any.
    """
    target = operations(base, base.core.ticks, base.core.neurons)
    variants: dict[str, Mapping[str, Any]] = {}
    for ticks in tick_counts(base):
        neurons = base.core.neurons if ticks == base.core.ticks else _nearest(base, ticks, target)
        if abs(operations(base, ticks, neurons) - target) <= NEAR * target:
            variants[f"{ticks} of {neurons} neurons"] = {"core": {"ticks": ticks, "neurons": neurons}}
    return variants


def operations(base: Config, ticks: int, neurons: int) -> float:
    """Return the operations of a training step of ``base`` with other ticks and neurons.

    They are counted at the fewest ticks possible and at one more: every further tick costs what that one does.
    """
    fewest = max(1, base.output.emitted)
    first, second = (_counted(base, count, neurons) for count in (fewest, fewest + 1))
    return first + (ticks - fewest) * (second - first)


@lru_cache(maxsize=128)
def _counted(base: Config, ticks: int, neurons: int) -> int:
    config = from_dict(Config, {"core": {"ticks": ticks, "neurons": neurons}}, base=base)
    plain = replace(config, train=replace(config.train, tbptt=0, recompute=0))
    return sum(kernel.operations for kernel in count_costs(plain).kernels)


def _nearest(base: Config, ticks: int, target: float) -> int:
    """Return the number of neurons, in units, whose operations come nearest to ``target``.

    Operations are a polynomial of second degree in the neurons (the weights are square), here through three counts.
    """
    fewest = _fewest(base)
    places = [fewest, 4 * fewest + base.core.neurons, 4 * base.core.neurons]
    square, linear, constant = np.polyfit(places, [operations(base, ticks, neurons) for neurons in places], 2)
    roots = np.roots([square, linear, constant - target])
    neurons = max((root.real for root in roots if abs(root.imag) == 0), default=0.0)
    return max(fewest, UNIT * round(neurons / UNIT))


def _fewest(base: Config) -> int:
    """Return the fewest neurons, in units, that ``base`` can have: its pairs want some."""
    for neurons in range(UNIT, base.core.neurons, UNIT):
        try:
            from_dict(Config, {"core": {"neurons": neurons}}, base=base)
        except ConfigError:
            continue
        return neurons
    return base.core.neurons


# The ablations as data: a study is a set of named changes of one experiment (the paper's Table 2, A.4 to A.8).
#
# To add one, put an entry into :data:`STUDIES`::
#
#     "width": Study("neurons", {"128": {"core": {"neurons": 128}}, "256": {}, "512": {"core": {"neurons": 512}}}),
#
# A variant with no changes, or whose changes give the baseline's settings, is the baseline's run: it is made once.


Changes = Mapping[str, Any]
BASELINE = "baseline"


@dataclass(frozen=True)
class Study:
    """What is varied, and the changes of settings by the name of each variant; ``task`` where it is a fixed one.

    Every change is of TIDE's experiment, with the settings that the ablation as a whole was given. Where the changes
    depend on it, ``variants`` is a function of it.
    """

    title: str
    variants: Mapping[str, Changes] | Callable[[Config], Mapping[str, Changes]]
    task: str | None = None

    def of(self, base: Config) -> Mapping[str, Changes]:
        """Return the changes of ``base`` by the name of each variant."""
        return self.variants(base) if callable(self.variants) else self.variants

    @property
    def summary(self) -> str:
        """The title and the names of the variants, where they are the same for every task."""
        return self.title if callable(self.variants) else f"{self.title}: {', '.join(self.variants)}"


def _core(**settings: Any) -> Changes:
    return {"core": settings}


STUDIES: Mapping[str, Study] = {
    "excitatory-fraction": Study(
        "excitatory fraction", {f"{share:g}": _core(excitatory_fraction=share) for share in (0.6, 0.7, 0.8, 0.9)}
    ),
    "tau-e": Study("excitatory time constant in ms", {f"{tau:g}": _core(tau_e=tau) for tau in (3.0, 5.0, 7.0, 10.0)}),
    "tau-i": Study(
        "inhibitory time constant in ms", {f"{tau:g}": _core(tau_i=tau) for tau in (10.0, 15.0, 20.0, 25.0, 30.0)}
    ),
    "game-weight": Study(
        "weight of the game loss", {f"{w:g}": {"loss": {"game_weight": w}} for w in (0.001, 0.01, 0.1, 1.0)}
    ),
    "ticks": Study("internal ticks", at_equal_parameters),
    "ticks-at-equal-operations": Study("internal ticks at equal operations of a training step", at_equal_operations),
    "lateral-iterations": Study(
        "lateral iterations", {str(k): _core(lateral={"iterations": k}) for k in (1, 3, 5, 10)}
    ),
    "switches": Study(
        "one part left out",
        {
            "no lateral inhibition": _core(lateral={"iterations": 0}),
            "no memory": _core(memory={"enabled": False}),
            "no neuron-level models": _core(neuron_models={"enabled": False}),
            "no game loss": {"loss": {"game_weight": 0.0}},
            "no E-I loss": {"loss": {"ei_weight": 0.0}},
            "no Dale projection": _core(dale=False),
            "no feedback of corrections": _core(neuron_models={"feedback": False}),
            "one norm for both populations": _core(norm="rms_shared"),
            "no norm": _core(norm="none"),
            "one stream of synchrony": _core(synchrony={"typed": False}),
            "no inhibition of E": _core(inhibition=False),
        },
    ),
    "hundred-ticks": Study(
        "remedies for 100 ticks",
        {
            "100 ticks": _core(ticks=100),
            "TBPTT 25": {"core": {"ticks": 100}, "train": {"tbptt": 25}},
            "history 60": _core(ticks=100, neuron_models={"memory_length": 60}),
        },
    ),
    "memory": Study(
        "the surprise-gated memory",
        {
            "trained reconstruction": {"loss": {"reconstruction_weight": 0.1}},
            "one memory per batch": _core(memory={"scope": "batch"}),
        },
    ),
    "step": Study("Euler step in ms", {"1": _core(dt=1.0), "2": _core(dt=2.0)}),
    "guarantee": Study(
        "guaranteed stability",
        {
            "none": {},
            "none, norm rms_cap": _core(norm="rms_cap"),
            "contraction": _core(norm="rms_cap", guarantee="contraction", neuron_models={"feedback": False}),
            "contraction, with feedback": _core(norm="rms_cap", guarantee="contraction"),
            "lds": _core(norm="rms_cap", guarantee="lds"),
        },
    ),
    "large-game": Study(
        "large weights of the game loss, and the augmented Lagrangian",
        {
            **{f"weight {w:g}": {"loss": {"game_weight": w}} for w in (1.0, 10.0, 100.0)},
            **{
                f"augmented Lagrangian, weight {w:g}": {"loss": {"game": "augmented_lagrangian", "game_weight": w}}
                for w in (0.01, 1.0)
            },
        },
    ),
    "backbone": Study("backbone, on CIFAR-10", {"hrf": {}, "resnet18": {"backbone": {"kind": "resnet18"}}}, "cifar10"),
}
"""Every study by its name."""


@dataclass(frozen=True)
class Variant:
    """One cell of a table: its study, its name there, the trial that gives its numbers, and the one to compare with.

    That is the baseline of the variants' seed; on data of its own a study's first variant.
    """

    study: str
    name: str
    trial: Trial
    reference: Trial


def ablation_variants(
    task: str, names: Sequence[str], changes: Changes, *, steps: int, seed: int, spread_seeds: Sequence[int]
) -> tuple[list[Trial], list[Variant]]:
    """Return every trial, the baseline's first (one per seed of ``seed`` and ``spread_seeds``), and every variant.

    ``changes`` apply to every run, ``seed`` to every variant. Variants with the same settings share a trial. Raises
    :class:`ConfigError` for an unknown study, naming the nearest.
    """
    for name in names:
        if name not in STUDIES:
            raise ConfigError(f"unknown study {name!r}{did_you_mean(name, STUDIES)}")
    base = budget(task_config(task, changes), steps, curve=False)
    seeds = dict.fromkeys((seed, *spread_seeds))
    made = [Trial(f"{BASELINE}-{s}", replace(base, seed=s)) for s in seeds]
    variants: list[Variant] = []
    for name in names:
        study = STUDIES[name]
        start = base if study.task in (None, task) else budget(task_config(study.task, changes), steps, curve=False)
        for label, change in study.of(start).items():
            config = from_dict(Config, {**change, "seed": seed}, base=start)
            same = next((trial for trial in made if not differences(trial.config, config)), None)
            trial = same or Trial(f"{name}-{label}".replace(" ", "-"), config)
            if same is None:
                made.append(trial)
            own = [variant.trial for variant in variants if variant.study == name][:1] or [trial]
            reference = made[0] if trial.config.data.title == base.data.title else own[0]
            variants.append(Variant(name, label, trial, reference))
    return made, variants


# What the runs of an ablation say, as data and as Markdown tables (the paper's Tables 2 and A.4 to A.8).


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
        "ratio_target": getattr(run.config.core, "ratio_target", None),
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
            *table(COLUMNS, map(_line, study["rows"])),
        ]
    return "\n".join(lines) + "\n"


COLUMNS = ("variant", "best, %", "last, %", "whole, %", "Δ, points", "E-I ratio", "time factor", "")


def _line(row: Mapping[str, Any]) -> tuple[str, ...]:
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
    return (
        row["variant"],
        percent(row["best_accuracy"]),
        percent(row["last_accuracy"]) + marks,
        percent(row["whole_accuracy"]),
        percent(row["difference"], "+.2f"),
        number(row["ei_ratio"], ".3g"),
        number(row["time_factor"]),
        ", ".join(remarks),
    )


FILE = "step_time.json"


WARMUP = 2  # rounds that are not counted


def step_time_factors(
    variants: Sequence[Variant],
    out: Path,
    rounds: int,
    device: torch.device,
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> dict[str, float]:
    """Return the median ratio of each variant's step to its reference's, over so many rounds, by trial name.

    What was measured is kept in the variant's run folder and not measured again. A variant whose step is rejected on
    random images is left out. ``progress`` is called with (name, variants done, variants in all) before each.
    """
    factors: dict[str, float] = {}
    for done, variant in enumerate(variants):
        name, file = variant.trial.name, variant.trial.folder(out) / FILE
        if variant.trial is variant.reference:
            factors[name] = 1.0
            continue
        if file.is_file():
            factors[name] = _read(file)
            continue
        progress(name, done, len(variants))
        pair = (variant.reference, variant.trial)
        try:
            steps = [step_on_random_images(trial.config, device)[1] for trial in pair]
            theirs, mine = alternate(steps, rounds, device, warmup=WARMUP)
        except TrainingError:
            continue
        factors[name] = statistics.median(a / b for a, b in zip(mine, theirs, strict=True))
        measured = {
            "factor": factors[name],
            "reference": variant.reference.name,
            "seconds": statistics.median(mine),
            "reference_seconds": statistics.median(theirs),
            "rounds": rounds,
            "environment": describe_environment(),
        }
        write_json(file, measured)
    return factors


def _read(file: Path) -> float:
    try:
        return float(read_mapping(file)["factor"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{file} is damaged ({error}); remove it and it is measured again") from error

"""The ablations as data: a study is a set of named changes of one experiment (the paper's Table 2, A.4 to A.8).

To add one, put an entry into :data:`STUDIES`::

    "width": Study("neurons", {"128": {"core": {"neurons": 128}}, "256": {}, "512": {"core": {"neurons": 512}}}),

A variant with no changes, or whose changes give the baseline's settings, is the baseline's run: it is made once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tide.config import Config
from tide.config_io import differences, from_dict
from tide.errors import ConfigError, did_you_mean
from tide.studies.comparison import budget, task_config
from tide.studies.ticks import at_equal_operations, at_equal_parameters
from tide.studies.trials import Trial

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
    def told(self) -> str:
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

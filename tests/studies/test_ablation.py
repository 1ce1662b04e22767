"""Studies as data, and what the report says of hand-made runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tide.config import Config
from tide.config.io import differences, from_dict
from tide.errors import ConfigError
from tide.plots.studies import draw_ablation
from tide.studies.ablation import STUDIES, Variant, ablation_result, ablation_variants, markdown, silent_population
from tide.studies.runner import Trial

SMALL = {"core": {"ticks": 25, "neuron_models": {"memory_length": 15}}, "train": {"batch": 64}}
PERFECT = list(range(10))


def test_every_study_gives_distinct_valid_runs_and_the_baseline_is_made_once():
    names = [name for name in STUDIES if name != "ticks-at-equal-operations"]  # has a test of its own
    trials, variants = ablation_variants("mnist", names, SMALL, steps=250, seed=42, spread_seeds=(42, 43))
    assert len({trial.name for trial in trials}) == len(trials)
    assert [trial.name for trial in trials[:2]] == ["baseline-42", "baseline-43"]
    assert len({repr(trial.config) for trial in trials}) == len(trials)
    assert {trial.config.train.steps for trial in trials} == {250}
    # The paper's own values, 25 ticks, K = 5 and the literal weight are the baseline in every study that has them.
    shared = {(v.study, v.name) for v in variants if v.trial.name == "baseline-42"}
    assert shared == {
        ("excitatory-fraction", "0.8"),
        ("tau-e", "5"),
        ("tau-i", "20"),
        ("game-weight", "0.01"),
        ("ticks", "25"),
        ("lateral-iterations", "5"),
        ("step", "1"),
        ("guarantee", "none"),
    }
    by_name = {(v.study, v.name): v.trial for v in variants}
    assert by_name["ticks", "100"] is by_name["hundred-ticks", "100 ticks"]
    assert by_name["backbone", "resnet18"].config.data.name == "cifar10"
    assert by_name["backbone", "resnet18"].config.backbone.kind == "resnet18"


FIXED = [name for name, study in STUDIES.items() if not callable(study.variants) and study.task is None]


@pytest.mark.parametrize("name", FIXED)
def test_a_variant_changes_what_it_says_and_nothing_else(name):
    trials, variants = ablation_variants("mnist", [name], {}, steps=100, seed=1, spread_seeds=())
    for variant in variants:
        changed = {text.split(" ")[0] for text in differences(variant.trial.config, trials[0].config)}
        named = set()
        for section, settings in STUDIES[name].variants[variant.name].items():
            for key, value in settings.items():
                inner = value if isinstance(value, dict) else {None: None}
                named |= {f"{section}.{key}" + (f".{part}" if part else "") for part in inner}
        assert changed <= named
        assert changed or variant.trial.name == "baseline-1"


def test_unknown_study_names_the_nearest():
    with pytest.raises(ConfigError, match="unknown study 'tick'; did you mean 'ticks'"):
        ablation_variants("mnist", ["tick"], {}, steps=10, seed=1, spread_seeds=())


def test_drift_collapse_spread_and_time_by_hand(make_facts):
    nine, eight, six = [*PERFECT[:9], 0], [*PERFECT[:8], 0, 0], [*PERFECT[:6], 0, 0, 0, 0]
    facts = {
        "baseline-1": make_facts(PERFECT),
        "baseline-2": make_facts(eight, seed=2),
        "near": make_facts(eight, seed=3),
        "drifted": make_facts(nine, seed=4, best=1.0),
        "collapsed": make_facts(six, seed=5, ratio=0.01),
    }
    trials = {name: Trial(name, run.config) for name, run in facts.items()}
    variants = [Variant("ticks", name, trial, trials["baseline-1"]) for name, trial in trials.items()]
    result = ablation_result(facts, variants, 1, {"near": 2.0, "drifted": 1.0, "collapsed": 1.0})
    spread = 0.1 * 2**0.5
    assert result["baseline"]["last_accuracy"] == pytest.approx(0.9)
    assert result["baseline"]["spread"] == pytest.approx(spread)
    rows = {row["variant"]: row for row in result["studies"]["ticks"]["rows"]}
    assert rows["baseline-1"]["is_baseline"]
    assert rows["near"]["time_factor"] == 2.0
    assert rows["near"]["difference"] == pytest.approx(-0.1)
    assert rows["near"]["distinguishable"] is False  # 0.1 under 2 · 0.141
    assert rows["drifted"]["drift"]
    assert not rows["near"]["drift"]
    assert rows["collapsed"]["distinguishable"] is True  # 0.3 over it
    assert rows["collapsed"]["silent"] == "E"
    text = markdown(result)
    assert "| drifted | 100.00 | 90.00† | - | +0.00 | 4 | 1.00 | not distinguishable |" in text
    assert "| collapsed | 60.00 | 60.00‡ | - | -30.00 | 0.01 | 1.00 | E silent |" in text


def test_the_picture_shows_each_variants_target_ratio_and_what_was_measured(make_facts):
    def facts_of(seed, target):
        run = make_facts(PERFECT, seed=seed, ratio=target)
        return replace(run, config=from_dict(Config, {"core": {"ratio_target": target}}, base=run.config))

    facts = {"baseline-1": facts_of(1, 4.0), "half": facts_of(2, 2.0)}
    trials = {name: Trial(name, run.config) for name, run in facts.items()}
    variants = [Variant("ticks", name, trial, trials["baseline-1"]) for name, trial in trials.items()]
    result = ablation_result(facts, variants, 1, {})
    result["measured_on"] = "validation"
    accuracy, ratio, _ = draw_ablation(result).axes
    assert accuracy.get_xlabel().startswith("validation error")
    lines = [line.get_segments()[0] for line in ratio.collections[1:]]
    assert [(segment[0][0], segment.mean()) for segment in lines] == [(4.0, 2.5), (2.0, 2.0)]  # rows 1 and 2


def test_the_silent_population_is_named_from_its_rates_not_from_the_ratio(make_facts):
    assert silent_population(make_facts(PERFECT, ratio=6.0)) is None  # off by half, not by more
    assert silent_population(make_facts(PERFECT, ratio=6.1)) == "E"
    assert silent_population(make_facts(PERFECT, ratio=900.0, monitor={"rate_e": 0.4, "rate_i": 0.0})) == "I"
    assert silent_population(make_facts(PERFECT, model="lstm")) is None

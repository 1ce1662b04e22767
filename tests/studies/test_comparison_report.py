"""The comparison's numbers against the same by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tide.config import NamedDataConfig
from tide.errors import ConfigError, InputError
from tide.studies.comparison import budget, compare, comparison_trials, markdown, task_config

PERFECT = list(range(10))
EIGHT = [0, 1, 2, 3, 4, 5, 6, 7, 0, 0]
SEVEN = [1, 1, 2, 3, 4, 5, 6, 7, 0, 0]


def test_accuracy_reach_and_joint_outcomes_by_hand(make_facts):
    curve, slow = ((10, 0.5), (20, 0.95)), ((10, 0.2), (20, 0.9))
    runs = {
        "tide": [make_facts(PERFECT, curve=curve), make_facts(EIGHT, seed=2, curve=slow)],
        "ctm": [make_facts(SEVEN, model="ctm", curve=slow), make_facts(SEVEN, model="ctm", seed=2, curve=slow)],
    }
    result = compare(runs, [0.5, 0.95])
    tide, ctm = result["models"]["tide"], result["models"]["ctm"]
    assert tide["last_accuracy"]["mean"] == pytest.approx(0.9)
    assert tide["last_accuracy"]["std"] == pytest.approx(0.1 * 2**0.5)
    assert ctm["last_accuracy"] == {"mean": pytest.approx(0.7), "std": pytest.approx(0.0)}
    assert ctm["ei_ratio"] is None
    assert tide["accuracy_per_tick"][1]["mean"] == pytest.approx(0.45)
    assert tide["hedging"]["mean"] == pytest.approx(0.225)
    # Half: at step 10 of one seed, 20 of the other; 95 %: at 20 of one seed, never of the other. Two steps a second.
    assert tide["reach"][0] == {"accuracy": 0.5, "seeds": 2, "steps": 15, "seconds": 7.5}
    assert tide["reach"][1] == {"accuracy": 0.95, "seeds": 1, "steps": 20, "seconds": 10.0}
    assert ctm["reach"][1] == {"accuracy": 0.95, "seeds": 0, "steps": None, "seconds": None}
    assert [point["mean"] for point in tide["curve"]] == pytest.approx([0.35, 0.925])
    pair = result["pairs"]["tide and ctm"]
    # Seed 1: both right on 7, tide alone on 3. Seed 2: both on 7, tide alone on image 0, none on 8 and 9.
    assert [pair[name] for name in ("both", "only_first", "only_second", "none")] == pytest.approx([0.7, 0.2, 0, 0.1])
    assert pair["agreement"] == pytest.approx(0.8)
    assert result["same_batches"]


def test_markdown_states_spread_and_what_was_never_reached(make_facts):
    runs = {
        "tide": [make_facts(PERFECT, curve=((10, 0.96),)), make_facts(EIGHT, seed=2, curve=((10, 0.2),))],
        "lstm": [make_facts(SEVEN, model="lstm", curve=((10, 0.2),))],
    }
    text = markdown(compare(runs, [0.95]))
    assert "| last accuracy, % | 90.00 ± 14.14 | 70.00 |" in text
    assert "| steps (seconds) to 95 % | 10 (5), 1 of 2 seeds never | not reached |" in text
    assert "for every model: **yes**" in text
    assert "whole answers" not in text
    for group in runs.values():
        for run in group:
            run.last["whole_accuracy"] = run.last["accuracy"] / 2
    text = markdown(compare(runs, []))
    assert "| last accuracy, whole answers, % | 45.00 ± 7.07 | 35.00 |" in text


def test_other_batches_are_noticed_and_other_data_refused(make_facts):
    ours = make_facts(PERFECT)
    theirs = make_facts(SEVEN, model="ctm", data_crc={10: 7})
    assert not compare({"tide": [ours], "ctm": [theirs]}, [])["same_batches"]
    other = replace(theirs, config=replace(theirs.config, data=NamedDataConfig(name="mnist")))
    with pytest.raises(InputError, match=r"on the same data, got mnist in .* and digits in"):
        compare({"tide": [ours], "ctm": [other]}, [])
    shuffled = replace(theirs, answers={**theirs.answers, "label": theirs.answers["label"].flip(0)})
    with pytest.raises(InputError, match="must be tested on the same images"):
        compare({"tide": [ours], "ctm": [shuffled]}, [])
    train = replace(theirs.config.train, steps=7)
    longer = replace(theirs, config=replace(theirs.config, train=train))
    with pytest.raises(InputError, match=r"train.steps must be the same in all runs, got 7 in runs/ctm-1 and \d+ in"):
        compare({"tide": [ours], "ctm": [longer]}, [])


def test_all_models_get_the_same_task_backbone_seeds_and_budget():
    changes = {"core": {"ticks": 5, "neuron_models": {"memory_length": 7}}, "train": {"batch": 32}}
    trials = comparison_trials(task_config("mnist", changes), ["tide", "ctm", "lstm"], [1, 2], 100)
    assert [trial.name for trial in trials] == ["tide-1", "ctm-1", "lstm-1", "tide-2", "ctm-2", "lstm-2"]
    first = trials[0].config
    for trial in trials:
        config = trial.config
        assert (config.input, config.backbone, config.data, config.train) == (
            first.input,
            first.backbone,
            first.data,
            first.train,
        )
        assert (config.core.ticks, config.core.neurons) == (5, 256)
    assert trials[1].config.core.memory_length == 7
    assert (first.train.steps, first.train.batch, first.train.eval_every, first.train.probe_every) == (100, 32, 50, 4)


@pytest.mark.parametrize(
    ("models", "seeds", "message"),
    [
        (["tide", "ctn"], [1], "unknown model 'ctn'; did you mean 'ctm'"),
        (["tide", "tide"], [1], "--models must be one or more different models, got tide tide"),
        ([], [1], "one or more"),
        (["tide"], [1, 2, 1], "seeds must be different, got 1 twice"),
        (["tide"], [], "no seed given"),
    ],
)
def test_bad_models_and_seeds_give_one_line(models, seeds, message):
    with pytest.raises(InputError, match=message) as caught:
        comparison_trials(task_config("mnist", {}), models, seeds, 10)
    assert "\n" not in str(caught.value)


def test_unknown_task_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'mnist'"):
        task_config("mnits", {})


def test_the_last_step_of_a_budget_is_always_evaluated():
    for steps in (1, 7, 600):
        train = budget(task_config("mnist", {}), steps).train
        assert 1 <= train.eval_every <= steps
        assert 1 <= train.probe_every <= steps

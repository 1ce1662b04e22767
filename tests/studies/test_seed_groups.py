"""Seeds of one model: which runs they are, and the intervals over them by hand and against SciPy."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from matplotlib.colors import rgb_to_hsv, to_rgb
from scipy import stats

from tests.studies.test_published import made
from tide.config import Config
from tide.config.io import from_dict
from tide.evaluate.statistics import bootstrap_mean
from tide.plots.robustness import colours_of
from tide.studies.comparison import LOOKING, difference_over_seeds, over_seeds, seeds_markdown, seeds_of
from tide.studies.robustness import Shift, Suite
from tide.studies.robustness_report import robustness

FOG = Shift("fog", 1)
SUITE = Suite("one", None, (FOG,), None)  # type: ignore[arg-type]


def test_runs_are_grouped_where_all_but_the_seed_is_equal() -> None:
    base = Config(seed=1)
    longer = from_dict(Config, {"train": {"steps": base.train.steps + 1}}, base=base)
    configs = {
        "tide-1": base,
        "long-1": longer,
        "tide-2": replace(base, seed=2),
        "again": base,
        "long-2": replace(longer, seed=2),
        "long": replace(longer, seed=3),
    }
    assert seeds_of(configs) == {
        "tide": {1: "tide-1", 2: "tide-2"},
        "long-1": {1: "long-1", 2: "long-2", 3: "long"},  # not all are called alike
        "again": {1: "again"},
    }


def test_runs_that_were_looked_at_more_or_less_often_are_seeds_of_one_model() -> None:
    base = Config(seed=1)
    for name in LOOKING:
        often = from_dict(Config, {"train": {name: getattr(base.train, name) + 7}}, base=replace(base, seed=2))
        assert seeds_of({"a-1": base, "a-2": often}) == {"a": {1: "a-1", 2: "a-2"}}, name
    other = from_dict(Config, {"train": {"batch": 7}}, base=replace(base, seed=2))
    assert seeds_of({"a-1": base, "a-2": other}) == {"a-1": {1: "a-1"}, "a-2": {2: "a-2"}}


def test_differences_over_seeds_are_paired_where_the_seeds_are_the_same() -> None:
    mine, other = {1: 0.9, 2: 0.7, 3: 0.8}, {3: 0.75, 1: 0.8, 2: 0.65}
    paired = stats.ttest_rel([0.9, 0.7, 0.8], [0.8, 0.65, 0.75]).confidence_interval(0.95)
    assert difference_over_seeds(mine, other)[1:] == pytest.approx((paired.low, paired.high))
    shared = stats.ttest_rel([0.9, 0.8], [0.8, 0.75]).confidence_interval(0.95)
    for more in ({}, {4: 0.1, 5: 0.9}):
        found = difference_over_seeds(mine, {3: 0.75, 1: 0.8, **more})
        assert found == pytest.approx((0.075, shared.low, shared.high))
    apart = stats.ttest_ind([0.9, 0.7, 0.8], [0.75, 0.8], equal_var=False).confidence_interval(0.95)
    for second in ({3: 0.75, 4: 0.8}, {4: 0.75, 5: 0.8}):
        assert difference_over_seeds(mine, second)[1:] == pytest.approx((apart.low, apart.high))
    assert difference_over_seeds(mine, {1: 0.8}) is None
    assert difference_over_seeds(mine, {seed: value - 0.1 for seed, value in mine.items()}) is None  # no spread


def compared(right: dict[str, list[bool]], seeds: dict[str, dict[int, str]]) -> dict:
    """Compare runs, given which of their answers under one shift are right, with the group of the run ``a-1``."""
    answers = {name: {FOG: made(values)} for name, values in right.items()}
    return over_seeds(robustness(answers, SUITE, "a-1")["models"], answers, SUITE, seeds, "a-1")


def test_groups_over_seeds_and_over_images_by_hand() -> None:
    right = {
        "a-1": [True, True, False, False],
        "a-2": [True, False, False, False],
        "b-1": [True, True, True, True],
        "b-2": [True, True, False, False],
        "c-1": [True, True, False, True],
    }
    found = compared(right, {"a": {1: "a-1", 2: "a-2"}, "b": {1: "b-1", 2: "b-2"}, "c-1": {1: "c-1"}})
    row = found["models"]["b"]["groups"]["all"]
    assert (found["baseline"], found["models"]["b"]["paired"]) == ("a", True)
    assert row["accuracy"]["mean"] == pytest.approx(0.75)
    wide = 12.706 * 0.125  # of Student's t at one degree of freedom, times the standard error of 1/2 and 1/4
    assert list(row["over_seeds"].values()) == pytest.approx([0.375, 0.375 - wide, 0.375 + wide], rel=1e-3)
    by_image = torch.tensor([0, 0.5, 0.5, 0.5])  # of the means over seeds
    assert row["over_images"] == bootstrap_mean(by_image)._asdict()
    single = found["models"]["c-1"]["groups"]["all"]
    assert (single["over_seeds"], found["models"]["c-1"]["paired"]) == (None, False)
    assert single["over_images"]["mean"] == pytest.approx(0.375)
    text = seeds_markdown(found, "Over seeds")
    assert "| b | 1, 2 paired | all | 75.00 ± 35.36 | +37.50 (-121.33 to +196.33) |" in text


def test_of_partly_shared_seeds_both_differences_are_of_the_shared_ones() -> None:
    right = {
        "a-1": [True, True, False, False],
        "a-2": [True, False, False, False],
        "b-1": [True, True, True, True],
        "b-2": [True, True, False, False],
        "b-3": [False, False, False, False],
    }
    found = compared(right, {"a": {1: "a-1", 2: "a-2"}, "b": {1: "b-1", 2: "b-2", 3: "b-3"}})
    row = found["models"]["b"]["groups"]["all"]
    assert row["accuracy"]["mean"] == pytest.approx(0.5)
    assert row["over_seeds"]["mean"] == row["over_images"]["mean"] == pytest.approx(0.375)
    assert "| b | 1, 2, 3; paired 1, 2 | all | 50.00 " in seeds_markdown(found, "Over seeds")


def test_seeds_of_one_model_are_drawn_in_shades_of_its_colour() -> None:
    names = ["a-1", "b-1", "a-2", "b-2"]
    seeds = {group: {"runs": {seed: f"{group}-{seed}" for seed in "12"}} for group in "ab"}
    alone, drawn = (colours_of({"models": dict.fromkeys(names), **more}) for more in ({}, {"seeds": {"models": seeds}}))
    assert len(set(alone)) == len(set(drawn)) == 4
    assert (drawn[0], drawn[1]) == (alone[0], alone[1])
    hues = [rgb_to_hsv(to_rgb(colour)) for colour in drawn]
    for first, second in ((0, 2), (1, 3)):
        assert hues[first][0] == pytest.approx(hues[second][0], abs=0.01)
        assert hues[second][1] < hues[first][1]  # less of it, more white

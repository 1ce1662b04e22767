"""Sections that come in several kinds (backbone, core), and the presets that use them."""

from __future__ import annotations

import dataclasses

import pytest

from tide.config import (
    Config,
    ConvolutionsConfig,
    CoreConfig,
    CTMConfig,
    FeatureMapConfig,
    HRFConfig,
    LSTMConfig,
    ModelConfig,
    ResNetConfig,
    ResNetTrunkConfig,
)
from tide.config.io import differences, from_dict, read_yaml, to_dict, to_yaml
from tide.errors import ConfigError
from tide.models.presets import MODELS, PRESETS, TASKS, preset
from tide.models.task_presets import DRAWN_TASKS

KINDS = {
    ("core", "tide"): CoreConfig,
    ("core", "ctm"): CTMConfig,
    ("core", "lstm"): LSTMConfig,
    ("backbone", "hrf"): HRFConfig,
    ("backbone", "resnet18"): ResNetConfig,
    ("backbone", "resnet_trunk"): ResNetTrunkConfig,
    ("backbone", "convolutions"): ConvolutionsConfig,
    ("backbone", "none"): FeatureMapConfig,
}
NO_AUXILIARY = {"ei_weight": 0, "game_weight": 0, "sync_weight": 0, "spectral_weight": 0}


@pytest.mark.parametrize(("section", "kind"), KINDS)
@pytest.mark.parametrize("base", [None, *(preset(name).model for name in ("cifar10", "ctm.digits", "lstm.mnist"))])
def test_a_kind_starts_from_its_own_defaults_unless_the_base_has_it_already(section, kind, base):
    cls = KINDS[section, kind]
    present = getattr(base, section) if base is not None else None
    found = getattr(from_dict(ModelConfig, {section: {"kind": kind}}, base=base), section)
    assert type(found) is cls
    assert found == (present if isinstance(present, cls) else cls())
    assert found.kind == kind


def test_without_a_kind_a_section_keeps_that_of_the_base_and_its_other_settings():
    base = preset("ctm.digits")
    changed = from_dict(Config, {"core": {"ticks": 7}}, base=base)
    assert changed.core == dataclasses.replace(base.core, ticks=7)
    assert type(from_dict(ModelConfig, {"core": {"ticks": 7}}).core) is CoreConfig
    same = from_dict(Config, {"core": {"kind": "ctm", "ticks": 7}}, base=base)
    assert same == changed


def test_a_yaml_file_may_change_the_kind_and_settings_of_the_new_one(tmp_path):
    path = tmp_path / "part.yaml"
    path.write_text("core: {kind: lstm, layers: 3}\nbackbone: {kind: none, features: 6}\nloss: " + str(NO_AUXILIARY))
    base = preset("cifar100")
    found = read_yaml(Config, path, base=base)
    assert (found.core, found.backbone) == (LSTMConfig(layers=3), FeatureMapConfig(features=6))
    assert (found.input, found.train, found.data) == (base.input, base.train, base.data)
    path.write_text(to_yaml(found))
    # What was written names its kinds, so it reads back alike whatever it is laid over.
    assert read_yaml(Config, path) == read_yaml(Config, path, base=preset("ctm.mnist")) == found
    assert "core.kind is 'tide' there, 'lstm' here" in differences(found, base)


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        ({"core": {"kind": "tid"}}, r"core\.kind must be a known one, got 'tid'; did you mean 'tide'\?"),
        ({"core": {"kind": "lstms"}}, r"core\.kind must be a known one, got 'lstms'; did you mean 'lstm'\?"),
        ({"core": {"kind": "gru"}}, r"core\.kind must be a known one, got 'gru'; known: tide, ctm, lstm"),
        (
            {"backbone": {"kind": "resnet"}},
            r"backbone\.kind must be a known one, got 'resnet'; did you mean 'resnet18'\?",
        ),
        ({"backbone": {"kind": None}}, r"backbone\.kind must be a known one, got None"),
        ({"core": {"kind": 3}}, r"core\.kind must be a known one, got 3"),
        ({"core": {"kind": ["ctm"]}}, r"core\.kind must be a known one, got \['ctm'\]"),
        ({"core": {"kind": "lstm", "layer": 3}}, r"'core\.layer'; did you mean 'layers'\?"),
        ({"core": {"kind": "ctm", "tau_e": 4.0}}, r"unknown setting 'core\.tau_e'"),
        ({"backbone": {"kind": "none", "grid": 8}}, r"unknown setting 'backbone\.grid'"),
        ({"core": None}, "core must be a mapping of settings, got None"),
    ],
)
@pytest.mark.parametrize("base", [None, preset("ctm.digits").model])
def test_an_unknown_kind_or_a_setting_of_another_kind_is_refused_in_one_line(mapping, told, base):
    with pytest.raises(ConfigError, match=told) as caught:
        from_dict(ModelConfig, mapping, base=base)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("section", "kind", "settings"),
    [
        ("core", "ctm", {"synapse_depth": 0}),
        ("core", "ctm", {"heads": 7}),
        ("core", "ctm", {"memory_length": 0}),
        ("core", "ctm", {"hidden": 0}),
        ("core", "ctm", {"selection": "nearest"}),
        ("core", "ctm", {"self_pairs": -1}),
        ("core", "ctm", {"self_pairs": 448}),
        ("core", "ctm", {"synchrony_action": 0}),
        ("core", "ctm", {"dropout": 1.0}),
        ("core", "ctm", {"neuron_dropout": -0.1}),
        ("core", "lstm", {"layers": 0}),
        ("core", "lstm", {"neurons": 0}),
        ("core", "lstm", {"heads": 3}),
        ("core", "lstm", {"dropout": float("nan")}),
        ("backbone", "resnet18", {"features": 6}),
        ("backbone", "resnet18", {"grid": 0}),
        ("backbone", "none", {"features": 0}),
    ],
)
def test_what_is_out_of_range_in_a_kind_is_refused_with_its_name_and_value(section, kind, settings):
    with pytest.raises(ConfigError) as caught:
        from_dict(ModelConfig, {section: {"kind": kind} | settings})
    told = str(caught.value)
    ((name, value),) = settings.items()
    assert f"{section}.{name}" in told
    assert str(value) in told
    assert "\n" not in told


def test_the_edges_of_a_baseline_s_ranges_are_allowed():
    edges = {"selection": "first-last", "synchrony_out": 200, "synchrony_action": 56, "dropout": 0, "synapse_depth": 1}
    assert from_dict(ModelConfig, {"core": {"kind": "ctm"} | edges}).core.synchrony_action == 56
    with pytest.raises(ConfigError, match=r"must be at most core\.neurons = 256 with selection first-last, got 257"):
        from_dict(ModelConfig, {"core": {"kind": "ctm"} | edges | {"synchrony_action": 57}})
    assert CTMConfig(self_pairs=447).self_pairs == 447
    # Self pairs are one of the random ones: without these there is nothing to compare with.
    assert CTMConfig(selection="random", self_pairs=500, synchrony_out=3).self_pairs == 500


# Presets


def test_every_model_has_a_preset_of_every_task():
    # Sorting's lists are emitted over the ticks: no tick before the last has the whole answer.
    missing = {f"{model}.{task}" for model in MODELS for task in ("sort", "sort.8") if model.startswith("anytime")}
    assert len(PRESETS) == len(set(PRESETS)) == len(MODELS) * len(TASKS) - len(missing) == 108
    assert not missing & set(PRESETS)
    assert {"tide" if name in TASKS else name.split(".")[0] for name in PRESETS} == set(MODELS)
    assert {type(preset(f"{m}.mnist".removeprefix("tide.")).core) for m in MODELS} == {
        CoreConfig,
        CTMConfig,
        LSTMConfig,
    }


@pytest.mark.parametrize("task", [task for task in TASKS if task not in DRAWN_TASKS])
def test_a_baseline_differs_from_tide_s_preset_in_core_and_auxiliary_losses_only(task):
    base = preset(task)
    for kind in ("ctm", "lstm"):
        found = preset(f"{kind}.{task}")
        assert found.loss == dataclasses.replace(base.loss, **NO_AUXILIARY)
        assert dataclasses.replace(found, core=base.core, loss=base.loss) == base
        core = found.core
        assert (core.neurons, core.ticks, core.heads) == (base.core.neurons, base.core.ticks, base.core.attention.heads)
        assert (core.attention_width, core.dropout) == (base.core.attention.width, base.core.head.dropout)
    pairs, models, ctm = base.core.synchrony, base.core.neuron_models, preset(f"ctm.{task}").core
    assert ctm.synchrony_out == ctm.synchrony_action == pairs.pairs_ee + pairs.pairs_ei + pairs.pairs_ii
    assert (ctm.memory_length, ctm.hidden, ctm.synapse_depth) == (models.memory_length, models.hidden, 4)


@pytest.mark.parametrize("task", DRAWN_TASKS)
def test_on_drawn_tasks_a_baseline_has_its_own_core_and_the_lstm_its_own_second_tick(task):
    base = preset(task)
    for kind, second in (("ctm", "certain"), ("lstm", "last")):
        found = preset(f"{kind}.{task}")
        assert found.loss == dataclasses.replace(base.loss, **NO_AUXILIARY, second_tick=second)
        assert dataclasses.replace(found, core=base.core, loss=base.loss) == base
        assert (found.core.ticks, found.core.heads) == (base.core.ticks, base.core.attention.heads)


def test_an_unknown_preset_of_a_baseline_is_answered_by_the_nearest():
    for name, near in (("ctm.mnst", "ctm.mnist"), ("lstm_digits", "lstm.digits"), ("tide.mnist", None)):
        with pytest.raises(ConfigError, match=rf"'{name}'; " + (rf"did you mean '{near}'\?" if near else "")):
            preset(name)


@pytest.mark.parametrize(("section", "kind"), KINDS)
def test_plain_form_of_every_kind_reads_back_exactly(section, kind):
    config = from_dict(ModelConfig, {section: {"kind": kind}})
    assert from_dict(ModelConfig, to_dict(config)) == config

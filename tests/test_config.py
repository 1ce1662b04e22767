"""Settings: what is out of range, unknown or of another type is refused; YAML goes out and comes back exactly."""

from __future__ import annotations

import dataclasses

import pytest
import yaml

from tide.config import Config, CoreConfig
from tide.config.io import differences, from_dict, read_yaml, to_dict, to_yaml
from tide.errors import ConfigError, InputError
from tide.models.presets import PRESETS, preset

OUT_OF_RANGE = [
    ("seed", -1),
    ("input.channels", 2),
    ("input.size", 7),
    ("output.classes", 1),
    ("input.mean", [0.5, 0.5]),
    ("input.std", [0.0]),
    ("backbone.width", 0),
    ("backbone.features", 130),
    ("backbone.init", "gabor"),
    ("core.ticks", 0),
    ("core.neurons", 0),
    ("core.neurons", 8),
    ("core.excitatory_fraction", 0.0),
    ("core.excitatory_fraction", 1.0),
    ("core.excitatory_fraction", float("nan")),
    ("core.tau_e", -5.0),
    ("core.tau_i", 0.0),
    ("core.tau_i", float("inf")),
    ("core.dt", 0.0),
    ("core.dt", 5.1),
    ("core.activation", "tanh"),
    ("core.norm", "layer"),
    ("core.ratio_normalization", "mean"),
    ("core.ratio_target", 0.0),
    ("core.attention.heads", 7),
    ("core.attention.heads", 0),
    ("core.lateral.iterations", -1),
    ("core.lateral.strength", -0.1),
    ("core.lateral.tolerance", float("nan")),
    ("core.neuron_models.memory_length", 0),
    ("core.neuron_models.hidden", 0),
    ("core.synchrony.pairs_ee", 205 * 204 // 2 + 1),
    ("core.synchrony.pairs_ei", 205 * 51 + 1),
    ("core.synchrony.pairs_ii", 51 * 50 // 2 + 1),
    ("core.synchrony.pairs_ii", 0),
    ("core.synchrony.clamp", 0.0),
    ("core.memory.scope", "population"),
    ("core.memory.momentum", 1.0),
    ("core.memory.rate", 1.1),
    ("core.memory.buffer_rate", -0.1),
    ("core.head.hidden", 0),
    ("core.head.dropout", 1.0),
    ("data.crop_padding", -1),
    ("loss.ei_weight", -0.1),
    ("loss.game", "nash"),
    ("loss.game_epsilon", 0.0),
    ("loss.perron_iterations", 0),
    ("train.steps", 0),
    ("train.batch", 0),
    ("train.learning_rate", float("inf")),
    ("train.warmup", -1),
    ("train.tbptt", -1),
    ("train.clip.total", 0.0),
    ("train.reference.steps", 0),
]

WRONG_TYPE = [
    ("core.ticks", 2.5),
    ("core.ticks", "50"),
    ("core.ticks", True),
    ("core.ticks", None),
    ("core.tau_e", "5"),
    ("core.inhibition", 1),
    ("core.attention", 8),
    ("input.mean", 0.5),
    ("input.mean", ["a"]),
    ("loss.spectral_targets", [1.0]),
    ("train.clip.total", "1"),
    ("data.name", 3),
]


def nested(path: str, value: object) -> dict:
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


@pytest.mark.parametrize(("path", "value"), OUT_OF_RANGE + WRONG_TYPE)
def test_what_is_out_of_range_or_of_another_type_is_refused_in_one_line_with_path_and_value(path, value):
    with pytest.raises(ConfigError) as caught:
        from_dict(Config, nested(path, value))
    told = str(caught.value)
    assert path.rpartition(".")[2] in told
    assert "\n" not in told
    assert isinstance(caught.value, InputError)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("core.dt", 5),
        ("core.lateral.iterations", 0),
        ("core.synchrony.pairs_ii", 51 * 50 // 2),
        ("core.head.dropout", 0),
        ("core.excitatory_fraction", 0.9),
        ("input.size", 8),
        ("train.clip.total", None),
        ("train.warmup", 0),
        ("loss.spectral_targets", [1, 2]),
    ],
)
def test_the_edges_of_the_ranges_are_allowed(path, value):
    section = from_dict(Config, nested(path, value))
    for key in path.split("."):
        section = getattr(section, key)
    assert section == (tuple(value) if isinstance(value, list) else value)


def test_construction_validates_as_reading_does():
    with pytest.raises(ConfigError, match=r"core\.ticks must be at least 1, got 0"):
        CoreConfig(ticks=0)
    with pytest.raises(ConfigError, match=r"core\.ticks must be at least 1, got -1"):
        dataclasses.replace(CoreConfig(), ticks=-1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        CoreConfig().ticks = 3


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        ({"cor": {}}, r"unknown setting 'cor'; did you mean 'core'\?"),
        ({"core": {"tick": 3}}, r"'core\.tick'; did you mean 'ticks'\?"),
        ({"core": {"attention": {"head": 3}}}, r"'core\.attention\.head'; did you mean 'heads'\?"),
        (
            {"core": {"activation": "relus"}},
            r"core\.activation must be one of relu, softplus, got 'relus'; did you mean 'relu'\?",
        ),
        ({"data": {"zzz": 3}}, r"'data\.zzz'; known: kind, name, validation, crop_padding, flip"),
    ],
)
def test_unknown_names_are_answered_by_the_nearest(mapping, told):
    with pytest.raises(ConfigError, match=told):
        from_dict(Config, mapping)


def test_an_unknown_preset_is_answered_by_the_nearest():
    with pytest.raises(ConfigError, match=r"'mnst'; did you mean 'mnist'\?"):
        preset("mnst")


@pytest.mark.parametrize("name", PRESETS)
def test_yaml_round_trip_is_exact(name, tmp_path):
    core = {"dt": 0.1, "lateral": {"tolerance": 1e-7}} if preset(name).core.kind == "tide" else {"dropout": 0.1}
    config = preset(name, core=core, train={"clip": {"total": None}, "learning_rate": 1e-7})
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(config), encoding="utf-8")
    assert read_yaml(Config, path) == config
    assert from_dict(Config, to_dict(config)) == config
    assert differences(config, read_yaml(Config, path)) == []


def test_settings_left_out_come_from_the_base(tmp_path):
    path = tmp_path / "part.yaml"
    path.write_text("core:\n  ticks: 7\n", encoding="utf-8")
    base = preset("cifar100")
    expected = dataclasses.replace(base, core=dataclasses.replace(base.core, ticks=7))
    assert read_yaml(Config, path, base=base) == expected
    path.write_text("", encoding="utf-8")
    assert read_yaml(Config, path, base=base) == base


def test_a_number_in_plain_scientific_notation_is_a_number(tmp_path):
    # YAML 1.1 reads 1e-3 as text, 1.0e-3 as a number; people write both.
    path = tmp_path / "part.yaml"
    path.write_text("train:\n  learning_rate: 1e-3\n", encoding="utf-8")
    assert read_yaml(Config, path).train.learning_rate == 1e-3


@pytest.mark.parametrize("text", ["core: [1, 2", "- 1\n- 2\n", "core: 3\n", "\x00"])
def test_a_file_that_is_no_mapping_is_refused_in_one_line(text, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_yaml(Config, path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        read_yaml(Config, tmp_path / "none.yaml")


def test_differences_name_each_setting_that_differs_with_both_values():
    ours = preset("mnist")
    theirs = preset("mnist", seed=7, core={"lateral": {"iterations": 3}}, input={"mean": [0.5]})
    assert set(differences(ours, theirs)) == {
        "seed is 7 there, 42 here",
        "core.lateral.iterations is 3 there, 5 here",
        "input.mean is [0.5] there, [0.1307] here",
    }
    assert differences(ours, preset("mnist")) == []


def test_plain_form_holds_nothing_but_what_yaml_knows():
    assert yaml.safe_load(to_yaml(Config())) == to_dict(Config())


@pytest.mark.parametrize(
    ("name", "n_e", "n_i"),
    [("mnist", 205, 51), ("fashion-mnist", 205, 51), ("cifar10", 410, 102), ("cifar100", 574, 144)],
)
def test_presets_split_their_neurons_as_the_paper_does(name, n_e, n_i):
    core = preset(name).core
    assert (core.n_e, core.n_i) == (n_e, n_i)

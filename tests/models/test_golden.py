"""The baselines against their reference implementation: golden traces (tests/golden/README.md), names, bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tide
from tide.errors import CheckpointError, ConfigError
from tide.losses import task_loss
from tide.models import ctm, lstm
from tide.models.reference import ReferenceModel

GOLDEN = Path(__file__).parents[1] / "golden"
NAMES = ("ctm_unet", "ctm_linear", "lstm")
TRACES = {"pre_activations", "post_activations", "synch_out", "synch_action", "attention"}
HOMES = {"ctm": ctm, "lstm": lstm}


def read(name: str) -> dict[str, Any]:
    """Return the arrays of a file, its configuration parsed."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        return {key: json.loads(str(file[key])) if key == "config" else file[key] for key in file.files}


def part(golden: dict[str, Any], *kinds: str) -> dict[str, Any]:
    """Return what is filed under the given kinds, by the rest of its name."""
    split = ((key.partition("/"), value) for key, value in golden.items())
    return {rest: value for (kind, _, rest), value in split if kind in kinds}


def build(config: dict[str, Any]) -> ReferenceModel:
    return HOMES[config["kind"]].from_reference_config(config)


def loaded(golden: dict[str, Any]) -> ReferenceModel:
    return build(golden["config"]).load_reference_state_dict(part(golden, "param", "buffer"))


def distance(found: torch.Tensor, expected: np.ndarray) -> float:
    """Relative, by norm; absolute where nothing is expected."""
    assert found.shape == expected.shape
    return float(np.linalg.norm(found.detach().numpy() - expected) / (np.linalg.norm(expected) or 1.0))


@pytest.mark.parametrize("name", NAMES)
def test_traces_answers_loss_and_gradients_are_those_of_the_reference(name):
    golden = read(name)
    expected, gradients, model = part(golden, "out"), part(golden, "grad"), loaded(golden).train()
    wanted = TRACES & set(expected)
    out = model(torch.from_numpy(golden["input"]), record=tuple(wanted))
    for trace in wanted:
        values = np.moveaxis(expected[trace], 0, 1)
        # The reference keeps the axis of its single query.
        values = values[:, :, :, 0] if trace == "attention" else values
        assert distance(out.trace[trace], values) < 1e-5, trace
    assert distance(out.logits, expected["predictions"]) < 1e-5
    assert distance(out.certainty, expected["certainties"][:, 1]) < 1e-5
    loss = task_loss(out.logits, out.certainty, torch.from_numpy(golden["targets"]))
    assert loss.item() == pytest.approx(float(expected["loss"]), rel=1e-5)
    loss.backward()
    found = model.reference_gradients()
    assert set(found) == set(gradients)
    assert len(wanted) == (5 if name.startswith("ctm") else 3)
    for parameter, values in gradients.items():
        assert distance(found[parameter], values) < 1e-4, parameter


CHANGES = {
    "ctm_unet": ({}, {"synapse_depth": 1}, {"synapse_depth": 4}, {"deep_nlms": False}, {"do_layernorm_nlm": True}),
    "lstm": ({}, {"num_layers": 1}, {"num_layers": 3}),
}


@pytest.mark.parametrize(("name", "change"), [(name, change) for name in CHANGES for change in CHANGES[name]])
def test_reference_names_are_a_bijection_onto_all_parameters_of_the_cell(name, change):
    model = build(read(name)["config"] | change)
    names = model.reference_names()
    assert set(names) == {name for name, _ in model.cell.named_parameters()}
    assert len(set(names.values())) == len(names)
    assert not set(names.values()) & set(model.reference_buffer_shapes())


@pytest.mark.parametrize("name", NAMES)
def test_weights_come_out_as_they_went_in_decays_clamped(name):
    golden = read(name)
    given = part(golden, "param")
    assert set(build(golden["config"]).reference_names().values()) == set(given)
    # Decays alone are bounded; the reference clamps them in its forward pass.
    given = {theirs: value - 20 if "decay" in theirs else value for theirs, value in given.items()}
    for shift in (0, 40):
        shifted = {theirs: value + shift * ("decay" in theirs) for theirs, value in given.items()}
        model = build(golden["config"]).load_reference_state_dict(shifted | part(golden, "buffer"))
        for ours, theirs in model.reference_names().items():
            wanted = shifted[theirs].clip(0, 15) if "decay" in theirs else shifted[theirs]
            np.testing.assert_array_equal(model.cell.get_parameter(ours).detach().numpy(), wanted, err_msg=theirs)


@pytest.mark.parametrize("selection", ["random", "first-last"])
def test_neuron_indices_of_the_reference_become_all_pairs_between_them(selection):
    sizes = {"neuron_select_type": selection, "n_synch_out": 3, "n_synch_action": 2, "n_random_pairing_self": 0}
    config = read("ctm_unet")["config"] | sizes
    model, other = build(config), build(config)
    given: dict[str, Any] = {theirs: model.cell.get_parameter(ours) for ours, theirs in model.reference_names().items()}
    given |= {"out_neuron_indices_left": [4, 1, 7], "out_neuron_indices_right": [2, 1, 0]}
    other.load_reference_state_dict(
        given | {"action_neuron_indices_left": [5, 6], "action_neuron_indices_right": [5, 3]}
    )
    assert other.cell.synchrony_out.pairs().tolist() == [[4, 4, 4, 1, 1, 7], [2, 1, 0, 1, 0, 0]]
    assert other.cell.synchrony_action.pairs().tolist() == [[5, 5, 6], [5, 3, 3]]


@pytest.mark.parametrize("name", ["ctm_linear", "lstm"])
def test_the_width_of_the_feature_map_comes_with_the_weights_and_is_saved(name, tmp_path):
    golden = read(name)
    given = part(golden, "param", "buffer")
    # The same function of a feature map whose first 16 channels are the old ones: the others meet a weight of zero.
    given["kv_proj.0.weight"] = np.pad(given["kv_proj.0.weight"], ((0, 0), (0, 4)))
    wide = np.pad(golden["input"], ((0, 0), (0, 4), (0, 0), (0, 0)), constant_values=3.0)
    model = build(golden["config"]).load_reference_state_dict(given).eval()
    assert model.config.backbone.features == 20
    expected = loaded(golden).eval()(torch.from_numpy(golden["input"])).logits
    torch.testing.assert_close(model(torch.from_numpy(wide)).logits, expected)
    model.save_pretrained(tmp_path)
    assert torch.equal(tide.load(tmp_path)(torch.from_numpy(wide)).logits, model(torch.from_numpy(wide)).logits)


# Bad input


def damaged(given: dict[str, Any], how: str) -> dict[str, Any]:
    key = "output_projector.0.bias"
    if how == "missing":
        return {name: value for name, value in given.items() if name != key}
    if how == "unknown":
        return given | {"output_projector.1.bias": given[key]}
    if how in ("nan", "inf"):
        value = np.array(given[key])
        value[-1] = float(how)
        return given | {key: value}
    return given | {"kv_proj.0.bias" if how == "attention" else key: given[key][:-1]}


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("missing", r"'output_projector\.0\.bias' is missing \(1 missing, 0 unknown\)"),
        ("unknown", r"'output_projector\.1\.bias' is unknown \(0 missing, 1 unknown\)"),
        ("shape", r"output_projector\.0\.bias must have shape \(\d+,\) here, got \(\d+,\)"),
        ("attention", r"kv_proj\.0\.bias must have shape"),
        ("nan", r"output_projector\.0\.bias must be finite, got NaN or infinity"),
        ("inf", r"output_projector\.0\.bias must be finite, got NaN or infinity"),
    ],
)
@pytest.mark.parametrize("name", ["ctm_unet", "lstm"])
def test_weights_that_do_not_fit_are_refused_in_one_line_and_leave_the_model_as_it_was(name, how, told):
    golden = read(name)
    assert_refused(build(golden["config"]), damaged(part(golden, "param", "buffer"), how), told)


def assert_refused(model: ReferenceModel, given: dict[str, Any], told: str) -> None:
    before = {key: value.clone() for key, value in model.state_dict().items()}
    config = model.config
    with pytest.raises(CheckpointError, match=told) as caught:
        model.load_reference_state_dict(given)
    assert "\n" not in str(caught.value)
    assert model.config == config
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


@pytest.mark.parametrize("index", [-1, 0, 1])
@pytest.mark.parametrize("key", ["action_neuron_indices_left", "out_neuron_indices_right"])
def test_indices_of_neurons_that_the_configuration_does_not_have_are_refused(key, index):
    golden = read("ctm_linear")
    given, model = part(golden, "param", "buffer"), build(golden["config"])
    neurons = golden["config"]["d_model"]
    for neuron in (-1, 0, neurons - 1, neurons):
        given[key] = np.array(given[key])
        given[key][index] = neuron
        if 0 <= neuron < neurons:
            model.load_reference_state_dict(given)
        else:
            assert_refused(model, given, rf"{key} must be 0 to {neurons - 1}, got .*{neuron}")


@pytest.mark.parametrize("name", ["ctm_unet", "lstm"])
def test_a_reshaper_that_writes_out_the_number_of_classes_changes_nothing_and_another_is_refused(name):
    config = read(name)["config"]
    classes = config["out_dims"]
    assert build(config | {"prediction_reshaper": [classes]}).config == build(config).config
    assert build(config | {"prediction_reshaper": [-1]}).config == build(config).config
    for other in ([classes + 1], [classes, 1], []):
        with pytest.raises(ConfigError, match=r"prediction_reshaper must be \[-1\], got \[.*\]"):
            build(config | {"prediction_reshaper": other})


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("ctm_unet", {"d_modle": 3}, r"unknown argument 'd_modle' of the reference; did you mean 'd_model'\?"),
        ("lstm", {"num_layer": 3}, r"'num_layer' of the reference; did you mean 'num_layers'\?"),
        ("lstm", {"synapse_depth": 3}, "unknown argument 'synapse_depth'"),
        ("ctm_unet", {"backbone_type": "resnet18-4"}, "backbone_type must be 'none', got 'resnet18-4'"),
        ("lstm", {"backbone_type": "resnet18-4"}, "backbone_type must be 'none', got 'resnet18-4'"),
        (
            "ctm_unet",
            {"positional_embedding_type": "learnable-fourier"},
            "positional_embedding_type must be 'none', got 'learnable-fourier'",
        ),
        ("ctm_unet", {"neuron_select_type": "all"}, "core.selection must be .*, got 'all'"),
        ("ctm_unet", {"dropout": 1.0}, "core.dropout must be below 1, got 1.0"),
    ],
)
def test_arguments_of_the_reference_that_are_unknown_or_not_built_are_refused_in_one_line(name, change, told):
    with pytest.raises(ConfigError, match=told) as caught:
        build(read(name)["config"] | change)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["ctm_unet", "lstm"])
def test_a_missing_argument_of_the_reference_is_named(name):
    config = read(name)["config"]
    del config["iterations"]
    with pytest.raises(ConfigError, match="argument 'iterations' of the reference is missing"):
        build(config)

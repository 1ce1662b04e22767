"""The baselines against their reference implementation: golden traces (tests/golden/README.md), names, bad input."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import tide
from tide.errors import CheckpointError, ConfigError
from tide.losses import list_loss, route_losses, second_tick, task_loss, two_point
from tide.models.inputs import Inputs, Questions
from tide.models.reference import ReferenceModel, from_reference_config
from tide.types import ThoughtOutput

GOLDEN = Path(__file__).parents[1] / "golden"
NAMES = ("ctm_unet", "ctm_linear", "lstm")
TRACES = {"pre_activations", "post_activations", "synch_out", "synch_action", "attention"}


def read(name: str) -> dict[str, Any]:
    """Return the arrays of a file, its configuration parsed."""
    (path,) = GOLDEN.rglob(f"{name}.npz")
    with np.load(path) as file:
        return {key: json.loads(str(file[key])) if key == "config" else file[key] for key in file.files}


def part(golden: dict[str, Any], *kinds: str) -> dict[str, Any]:
    """Return what is filed under the given kinds, by the rest of its name."""
    split = ((key.partition("/"), value) for key, value in golden.items())
    return {rest: value for (kind, _, rest), value in split if kind in kinds}


def loaded(golden: dict[str, Any]) -> ReferenceModel:
    return from_reference_config(golden["config"]).load_reference_state_dict(part(golden, "param", "buffer"))


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
    model = from_reference_config(read(name)["config"] | change)
    names = model.reference_names()
    assert set(names) == {name for name, _ in model.cell.named_parameters()}
    assert len(set(names.values())) == len(names)
    assert not set(names.values()) & set(model.reference_buffer_shapes())


@pytest.mark.parametrize("name", NAMES)
def test_weights_come_out_as_they_went_in_decays_clamped(name):
    golden = read(name)
    given = part(golden, "param")
    assert set(from_reference_config(golden["config"]).reference_names().values()) == set(given)
    # Decays alone are bounded; the reference clamps them in its forward pass.
    given = {theirs: value - 20 if "decay" in theirs else value for theirs, value in given.items()}
    for shift in (0, 40):
        shifted = {theirs: value + shift * ("decay" in theirs) for theirs, value in given.items()}
        model = from_reference_config(golden["config"]).load_reference_state_dict(shifted | part(golden, "buffer"))
        for ours, theirs in model.reference_names().items():
            wanted = shifted[theirs].clip(0, 15) if "decay" in theirs else shifted[theirs]
            np.testing.assert_array_equal(model.cell.get_parameter(ours).detach().numpy(), wanted, err_msg=theirs)


@pytest.mark.parametrize("selection", ["random", "first-last"])
def test_neuron_indices_of_the_reference_become_all_pairs_between_them(selection):
    sizes = {"neuron_select_type": selection, "n_synch_out": 3, "n_synch_action": 2, "n_random_pairing_self": 0}
    config = read("ctm_unet")["config"] | sizes
    model, other = from_reference_config(config), from_reference_config(config)
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
    model = from_reference_config(golden["config"]).load_reference_state_dict(given).eval()
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
    assert_refused(from_reference_config(golden["config"]), damaged(part(golden, "param", "buffer"), how), told)


def test_a_whole_checkpoint_and_a_namespace_of_arguments_are_told_which_key_is_wanted() -> None:
    """What the reference's training writes: torch.save({"model_state_dict": ..., "args": Namespace(...)})."""
    golden = read("ctm_parity")
    arguments = Namespace(**golden["config"])
    model = from_reference_config(vars(arguments))
    weights = part(golden, "param", "buffer")
    whole = {"iteration": 3, "optimizer_state_dict": {"state": {}}, "model_state_dict": weights, "args": arguments}
    for given, told in (
        (whole, "got a whole checkpoint; give its ['model_state_dict']"),
        ({"args": arguments, **weights}, "args must be a tensor or an array, got a Namespace; give the weights alone"),
        ([weights], "the weights must be a mapping from names to tensors, got a list"),
    ):
        with pytest.raises(CheckpointError, match=re.escape(told)):
            model.load_reference_state_dict(given)
    for given, told in (
        (arguments, "the arguments must be a mapping, got a Namespace; give vars(arguments)"),
        (whole, "got a whole checkpoint; give vars(checkpoint['args'])"),
    ):
        with pytest.raises(ConfigError, match=re.escape(told)):
            from_reference_config(given)


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
    given, model = part(golden, "param", "buffer"), from_reference_config(golden["config"])
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
    assert (
        from_reference_config(config | {"prediction_reshaper": [classes]}).config
        == from_reference_config(config).config
    )
    assert from_reference_config(config | {"prediction_reshaper": [-1]}).config == from_reference_config(config).config
    for other in ([classes + 1], [classes, 1], []):
        with pytest.raises(ConfigError, match=r"prediction_reshaper must be \[-1\], got \[.*\]"):
            from_reference_config(config | {"prediction_reshaper": other})


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
        from_reference_config(read(name)["config"] | change)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["ctm_unet", "lstm"])
def test_a_missing_argument_of_the_reference_is_named(name):
    config = read(name)["config"]
    del config["iterations"]
    with pytest.raises(ConfigError, match="argument 'iterations' of the reference is missing"):
        from_reference_config(config)


TASKS = ("ctm_parity", "lstm_parity", "ctm_maze", "ctm_sort", "ctm_qamnist", "lstm_qamnist")
NOISE = 1e-9
"""A gradient that cancels (a bias before BatchNorm, a query among equal keys) is noise of float32, of this share."""


def loaded_task(golden: dict[str, Any]) -> tuple[ReferenceModel, Inputs]:
    """Return the model with the weights of a file, and its input."""
    model = from_reference_config(golden["config"]).load_reference_state_dict(part(golden, "param", "buffer"))
    inputs = torch.from_numpy(golden["input"])
    if "question" not in golden:
        return model, inputs
    schedule, question = model.config.input, torch.from_numpy(golden["question"])
    # The reference shows each digit and each part tick by tick.
    return model, Questions(inputs[:, :: schedule.ticks_per_digit], question[:, :: schedule.ticks_per_part])


def second(config: dict[str, Any]) -> str:
    return "certain" if config.get("use_most_certain", True) else "last"


def loss(out: ThoughtOutput, golden: dict[str, Any]) -> Tensor:
    config, targets = golden["config"], torch.from_numpy(golden["targets"])
    logits, certainty = out.answers()
    if "blank" in config:
        return list_loss(logits, targets).mean()
    if "curriculum_lookahead" in config:
        losses = route_losses(logits, targets, config["curriculum_lookahead"])
        return two_point(losses, certainty, second=second(config))
    return task_loss(logits, certainty, targets, second=second(config))


def flat(logits: Tensor) -> Tensor:
    """Return logits as the reference gives them, position by position: (B, |S| C, T)."""
    return logits.movedim(1, -2).flatten(1, -2)


@pytest.mark.parametrize("name", TASKS)
def test_traces_answers_loss_gradients_and_running_statistics_are_those_of_the_reference(name):
    golden = read(name)
    model, inputs = loaded_task(golden)
    calm = model.eval()(inputs)
    assert distance(flat(calm.logits), golden["eval/predictions"]) < 1e-5
    assert distance(calm.certainty, golden["eval/certainties"][:, 1]) < 1e-5
    expected, wanted = part(golden, "out"), [trace for trace in sorted(TRACES) if f"out/{trace}" in golden]
    out = model.train()(inputs, record=(*wanted, *(["synchrony"] if "synch" in expected else [])))
    for trace in wanted:
        values = np.moveaxis(expected[trace], 0, 1)
        values = values[:, :, :, 0] if trace == "attention" else values  # the axis of the single query
        assert distance(out.trace[trace][:, : values.shape[1]], values) < 1e-5, trace
    if "synch" in expected:  # of all ticks, or of the last
        values = np.moveaxis(np.atleast_3d(expected["synch"].T).T, 0, 1)
        assert distance(out.trace["synchrony"][:, -values.shape[1] :], values) < 1e-5
    if "question_embeddings" in expected:
        _, drives = model.backbone(inputs.digits, inputs.question)
        found = torch.stack(drives).repeat_interleave(model.config.input.ticks_per_part, 0)
        if name == "lstm_qamnist":  # it passes them through the projection of tokens
            found = model.cell.attention.token_norm(model.cell.attention.tokens(found))
        assert distance(found, expected["question_embeddings"]) < 1e-5
    assert distance(flat(out.logits), expected["predictions"]) < 1e-5
    assert distance(out.certainty, expected["certainties"][:, 1]) < 1e-5
    if "where_most_certain" in expected:
        ticks = second_tick(out.answers()[1], second(golden["config"]))
        of_answer = out.answers()[1].shape[1]
        assert ticks.tolist() == [int(tick) % of_answer for tick in expected["where_most_certain"]]
    value = loss(out, golden)
    assert value.item() == pytest.approx(float(expected["loss"]), rel=1e-5)
    value.backward()
    found, gradients = model.reference_gradients(), part(golden, "grad")
    assert set(found) == set(gradients)
    total = np.sqrt(sum(float(np.linalg.norm(values)) ** 2 for values in gradients.values()))
    for parameter, values in gradients.items():
        difference = np.linalg.norm(found[parameter].numpy() - values)
        assert found[parameter].shape == values.shape
        assert difference < 1e-4 * np.linalg.norm(values) + NOISE * total, parameter


@pytest.mark.parametrize("name", ["ctm_qamnist", "lstm_qamnist"])
def test_running_statistics_after_one_pass_are_those_of_the_reference(name):
    golden = read(name)
    model, inputs = loaded_task(golden)
    model.train()(inputs)
    found, after = model.reference_tensors(), part(golden, "after")
    assert len(after) == 6
    for buffer, values in after.items():
        assert distance(found[buffer].double(), values.astype(np.float64)) < 1e-5, buffer


CHANGES_OF_TASKS = {
    "ctm_parity": ({}, {"neuron_select_type": "first-last"}, {"synapse_depth": 3}),
    "lstm_parity": ({}, {"num_layers": 2}),
    "ctm_maze": ({}, {"backbone_type": "resnet34-2"}, {"backbone_type": "resnet18-1"}),
    "ctm_sort": ({}, {"neuron_select_type": "random", "deep_nlms": False, "synapse_depth": 1}),
    "ctm_qamnist": ({},),
    "lstm_qamnist": ({},),
}


@pytest.mark.parametrize(
    ("name", "change"), [(name, change) for name in CHANGES_OF_TASKS for change in CHANGES_OF_TASKS[name]]
)
def test_weights_that_leave_by_the_references_names_come_back_and_are_saved(name, change, tmp_path):
    model, other = (from_reference_config(read(name)["config"] | change | {"d_model": 40}) for _ in range(2))
    names = set(model.reference_names()) | {f"backbone.{key}" for key in model.backbone.state_dict()}
    every = {key.removeprefix("cell.") for key in model.state_dict()} - {
        f"synchrony_{use}.{side}" for use in ("action", "out") for side in ("left", "right")
    }
    assert names == every
    out = {key: value + (0.25 if value.is_floating_point() else 3) for key, value in model.reference_tensors().items()}
    indices = {key: torch.arange(*shape) for key, shape in model.reference_buffer_shapes().items()}
    other.load_reference_state_dict(out | indices)
    assert set(out) == set(other.reference_tensors())
    for key, value in other.reference_tensors().items():
        assert torch.equal(value, out[key].clamp(min=0) if "decay" in key else out[key]), key
    other.save_pretrained(tmp_path)
    again = tide.load(tmp_path)
    assert again.config == other.config
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in other.state_dict().items())


def test_a_model_of_mazes_of_15_pixels_has_as_many_parameters_as_published():
    size = {
        "d_model": 1024,
        "d_input": 256,
        "heads": 8,
        "n_synch_out": 1024,
        "n_synch_action": 1024,
        "synapse_depth": 8,
    }
    models = {"memory_length": 25, "memory_hidden_dims": 32, "neuron_select_type": "random-pairing"}
    answer = {"backbone_type": "resnet18-1", "out_dims": 250, "prediction_reshaper": [50, 5]}
    model = from_reference_config(read("ctm_maze")["config"] | size | models | answer)
    assert sum(parameter.numel() for parameter in model.parameters()) == 8_967_160


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("ctm_parity", {"prediction_reshaper": [7, 3]}, r"must be \[positions, classes\] of .* got \[7, 3\]"),
        ("ctm_parity", {"prediction_reshaper": [-1]}, r"prediction_reshaper must be .* got \[-1\]"),
        ("ctm_parity", {"backbone_type": "none"}, "backbone_type must be 'parity_backbone', got 'none'"),
        ("ctm_parity", {"kind": "ctm_party"}, "unknown kind 'ctm_party'; did you mean 'ctm_parity'"),
        ("ctm_parity", {"kind": "lstm_parity"}, "unknown argument 'deep_nlms'"),
        ("ctm_maze", {"backbone_type": "resnet50-2"}, "unknown backbone_type 'resnet50-2'; did you mean"),
        ("ctm_sort", {"use_most_certain": True}, "unknown argument 'use_most_certain'"),
        ("ctm_qamnist", {"iterations_per_digit": 0}, "input.ticks_per_digit must be at least 1, got 0"),
        ("lstm_qamnist", {"num_layers": 2}, "unknown argument 'num_layers'"),
    ],
)
def test_arguments_that_are_not_built_are_refused_in_one_line(name, change, told):
    with pytest.raises(ConfigError, match=told) as caught:
        from_reference_config(read(name)["config"] | change)
    assert "\n" not in str(caught.value)


def test_weights_of_another_task_are_refused():
    golden = read("ctm_parity")
    with pytest.raises(CheckpointError, match="is missing"):
        from_reference_config(golden["config"]).load_reference_state_dict(part(read("ctm_sort"), "param", "buffer"))

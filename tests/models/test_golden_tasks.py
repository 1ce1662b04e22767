"""The baselines on parity, mazes, sorting and questions against their reference implementation (tests/golden)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import tide
from tests.models.test_golden import HOMES, distance, part
from tide.errors import CheckpointError, ConfigError, InputError
from tide.losses import list_loss, route_losses, second_tick, task_loss, two_point
from tide.models.inputs import Inputs, Schedules
from tide.models.reference import ReferenceModel
from tide.types import ThoughtOutput

GOLDEN = Path(__file__).parents[1] / "golden" / "tasks"
NAMES = ("ctm_parity", "lstm_parity", "ctm_maze", "ctm_sort", "ctm_qamnist", "lstm_qamnist")
TRACES = ("pre_activations", "post_activations", "synch_out", "synch_action", "attention")
NOISE = 1e-9
"""A gradient that cancels (a bias before BatchNorm, a query among equal keys) is noise of float32, of this share."""


def read(name: str) -> dict[str, Any]:
    """Return the arrays of a file, its configuration parsed."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        return {key: json.loads(str(file[key])) if key == "config" else file[key] for key in file.files}


def build(config: dict[str, Any]) -> ReferenceModel:
    return HOMES[config["kind"].partition("_")[0]].from_reference_config(config)


def loaded(golden: dict[str, Any]) -> tuple[ReferenceModel, Inputs]:
    """Return the model with the file's weights, and its input."""
    model = build(golden["config"]).load_reference_state_dict(part(golden, "param", "buffer"))
    given = torch.from_numpy(golden["input"])
    if "question" not in golden:
        return model, given
    return model, model.kind.from_frames(given, torch.from_numpy(golden["question"]))


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


@pytest.mark.parametrize("name", NAMES)
def test_traces_answers_loss_gradients_and_running_statistics_are_those_of_the_reference(name):
    golden = read(name)
    model, inputs = loaded(golden)
    calm = model.eval()(inputs)
    assert distance(flat(calm.logits), golden["eval/predictions"]) < 1e-5
    assert distance(calm.certainty, golden["eval/certainties"][:, 1]) < 1e-5
    expected, wanted = part(golden, "out"), [trace for trace in TRACES if f"out/{trace}" in golden]
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
    model, inputs = loaded(golden)
    model.train()(inputs)
    found, after = model.reference_tensors(), part(golden, "after")
    assert len(after) == 6
    for buffer, values in after.items():
        assert distance(found[buffer].double(), values.astype(np.float64)) < 1e-5, buffer


CHANGES = {
    "ctm_parity": ({}, {"neuron_select_type": "first-last"}, {"synapse_depth": 3}),
    "lstm_parity": ({}, {"num_layers": 2}),
    "ctm_maze": ({}, {"backbone_type": "resnet34-2"}, {"backbone_type": "resnet18-1"}),
    "ctm_sort": ({}, {"neuron_select_type": "random", "deep_nlms": False, "synapse_depth": 1}),
    "ctm_qamnist": ({},),
    "lstm_qamnist": ({},),
}


@pytest.mark.parametrize(("name", "change"), [(name, change) for name in CHANGES for change in CHANGES[name]])
def test_weights_that_leave_by_the_references_names_come_back_and_are_saved(name, change, tmp_path):
    model, other = (build(read(name)["config"] | change | {"d_model": 40}) for _ in range(2))
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
    model = build(read("ctm_maze")["config"] | size | models | answer)
    assert sum(parameter.numel() for parameter in model.parameters()) == 8_967_160


def test_frames_that_change_within_a_digit_are_refused_in_one_line():
    golden = read("ctm_qamnist")
    schedules = build(golden["config"]).kind
    assert isinstance(schedules, Schedules)
    frames, question = torch.from_numpy(golden["input"]), torch.from_numpy(golden["question"])
    assert schedules.from_frames(frames, question).digits.shape == (4, 3, 1, 8, 8)
    with pytest.raises(InputError, match="frames must change every 2 ticks only"):
        schedules.from_frames(frames.roll(1, 1), question)
    with pytest.raises(InputError, match=r"parts must have shape \(B, a multiple of 2, ...\), got \(4, 9\)"):
        schedules.from_frames(frames, question[:, :-1])


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
        build(read(name)["config"] | change)
    assert "\n" not in str(caught.value)


def test_weights_of_another_task_are_refused():
    golden = read("ctm_parity")
    with pytest.raises(CheckpointError, match="is missing"):
        build(golden["config"]).load_reference_state_dict(part(read("ctm_sort"), "param", "buffer"))

"""Parameters by the parts that users know, and which of them weight decay pulls towards zero."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tide.config import FeatureMapConfig, ResNetConfig, TrainConfig
from tide.models.load import model_class
from tide.train.step import component_parameters, make_optimizer

VARIANTS = {
    "tide": {},
    "tide_bare": {
        "inhibition": False,
        "lateral": {"iterations": 0},
        "neuron_models": {"enabled": False},
        "memory": {"enabled": False},
        "synchrony": {"typed": False},
    },
    "tide_residual": {"attention": {"width": 6, "heads": 2, "residual": True}},
    "ctm": {"kind": "ctm"},
    "ctm_bare": {"kind": "ctm", "synapse_depth": 1, "deep": False},
    "ctm_normed": {"kind": "ctm", "synapse_depth": 3, "neuron_norm": True},
    "lstm": {"kind": "lstm"},
    "lstm_one_layer": {"kind": "lstm", "layers": 1},
}
STARTS = {
    "tide": {"cell.wilson_cowan.start"},
    "ctm": {"cell.start", "cell.start_history"},
    "lstm": {"cell.start_hidden", "cell.start_memory"},
}
PARTS = {
    "tide": ["backbone", "attention", "dynamics", "neuron_models", "synchrony", "head"],
    "ctm": ["backbone", "attention", "dynamics", "neuron_models", "synchrony", "head"],
    "lstm": ["backbone", "attention", "dynamics", "head"],
}
# Matrices and kernels of each cell, written out: nothing else may shrink.
DECAYING = {
    "tide": {
        *(f"attention.{part}.weight" for part in ("query", "key", "value", "output")),
        *(f"wilson_cowan.{part}" for part in ("w_ee", "w_ei", "w_ie", "w_ii", "input.weight")),
        *("lateral.w_in", "lateral.w_out", "neuron_models.first", "neuron_models.second"),
        *(f"synchronisation.streams.{k}.weight" for k in range(3)),
        *(f"memory.{part}.{k}.weight" for part in ("project", "reconstruct") for k in (0, 2)),
        *("head.layers.1.weight", "head.layers.4.weight"),
    },
    "ctm": {
        *("attention.inner", *(f"attention.{part}.weight" for part in ("tokens", "query", "output"))),
        *("synapses.first.0.weight", "synapses.down.0.1.weight", "synapses.up.0.1.weight"),
        *("trace_models.layers.0.weight", "trace_models.layers.1.weight", "head.weight"),
    },
    "lstm": {
        *("attention.inner", *(f"attention.{part}.weight" for part in ("tokens", "query", "output"))),
        *(f"lstm.weight_{kind}_l{layer}" for kind in ("ih", "hh") for layer in (0, 1)),
        "head.weight",
    },
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_parameter_belongs_to_exactly_one_component(tiny_model, variant):
    model = tiny_model(**VARIANTS[variant])
    components = model.components()
    assert list(components) == PARTS[model.config.core.kind]
    members = [id(p) for part in components.values() for p in part]
    assert sorted(members) == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize("backbone", [ResNetConfig(), FeatureMapConfig(features=8)], ids=lambda b: b.kind)
def test_the_backbone_is_a_component_of_its_own_even_where_it_has_no_parameters(tiny_config, backbone):
    config = replace(tiny_config(kind="lstm"), backbone=backbone)
    model = model_class(config)(config)
    components = model.components()
    assert len(components["backbone"]) == len(list(model.backbone.parameters()))
    assert sorted(id(p) for part in components.values() for p in part) == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize("kind", STARTS)
def test_start_states_are_clipped_with_the_dynamics_and_frozen_parameters_with_nothing(tiny_model, kind):
    model = tiny_model(kind=kind)
    named = dict(model.named_parameters())
    dynamics = {id(p) for p in component_parameters(model)["dynamics"]}
    assert {id(named[name]) for name in STARTS[kind]} <= dynamics
    frozen = named[min(STARTS[kind])].requires_grad_(False)
    assert {id(p) for p in component_parameters(model)["dynamics"]} == dynamics - {id(frozen)}
    assert id(frozen) in {id(p) for p in model.components()["dynamics"]}


@pytest.mark.parametrize("kind", STARTS)
def test_a_step_without_gradients_shrinks_matrices_and_kernels_and_leaves_start_states_as_they_are(tiny_model, kind):
    model = tiny_model(kind=kind)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer = make_optimizer(model, TrainConfig(learning_rate=0.1, weight_decay=0.5))
    optimizer.step()
    shrunk = set()
    for name, parameter in model.named_parameters():
        if torch.equal(parameter, before[name]):
            continue
        torch.testing.assert_close(parameter.detach(), before[name] * (1 - 0.1 * 0.5), rtol=1e-12, atol=0)
        shrunk.add(name)
    assert {name.removeprefix("cell.") for name in shrunk if name.startswith("cell.")} == DECAYING[kind]
    assert {name for name in shrunk if name.startswith("backbone.")} == {
        name for name, p in model.named_parameters() if name.startswith("backbone.") and p.dim() == 4
    }
    assert not shrunk & STARTS[kind]
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(before)

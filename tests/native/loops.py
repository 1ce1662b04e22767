"""Run a cell's ticks natively or tick by tick, and collect everything that comes out of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tide.models.ticks import Collector, begin, run_native, run_ticks
from tide.native.library import Library

VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "rms_cap": {"norm": "rms_cap"},
    "layer": {"norm": "layer", "start": "balanced"},
    "no_norm": {"norm": "none"},
    "no_feedback": {"neuron_models": {"feedback": False}},
    "no_inhibition": {"inhibition": False},
    "residual": {"attention": {"residual": True}},
    "no_lateral": {"lateral": {"iterations": 0}},
    "tolerance": {"lateral": {"tolerance": 1e-2, "iterations": 8}},
    "untyped_pairs": {"synchrony": {"typed": False}},
    "clamp": {"synchrony": {"clamp": 0.5}},
    "no_neuron_models": {"neuron_models": {"enabled": False}},
    "no_neuron_models_no_feedback": {"neuron_models": {"enabled": False, "feedback": False}},
    "per_neuron": {"ratio_normalization": "per_neuron"},
    # Odd widths: no loop may count on multiples of four or eight.
    "wide": {"attention": {"width": 70, "heads": 1}, "neuron_models": {"hidden": 19, "memory_length": 13}},
    "narrow": {"attention": {"width": 3, "heads": 3}, "neuron_models": {"hidden": 1, "memory_length": 1}},
}


def think(cell: Any, tokens: Tensor, stretches: Sequence[int], library: Library | None) -> dict[str, Tensor]:
    """Return all that a read-out and losses see, and the state after the last tick."""
    collector, moment = Collector(cell, ()), begin(cell, tokens)
    for ticks in stretches:
        if library is not None:
            moment = run_native(library, cell, moment, collector, ticks)
        else:
            moment = run_ticks(cell.step, moment, collector, ticks)
    state = moment.state
    last = {name: getattr(collector.last, name) for name in ("rates", "activation", "drive")}
    after = {
        "next rates": state.rates,
        "history": state.history,
        "products": state.synchrony.products,
        "normalizer": state.synchrony.normalizer,
        "next latent": state.latent,
    }
    return {**collector.stacked(), **last, **after}


def gradients(cell: Any, tokens: Tensor, found: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the gradients of a random sum of everything found, with respect to the tokens and all parameters."""
    generator = torch.Generator().manual_seed(5)
    total = tokens.new_zeros(())
    for name, value in found.items():
        weight = torch.randn(value.shape, generator=generator, dtype=torch.float64).to(value)
        if name != "lateral_iterations":
            total = total + (weight * value).sum()
    named = {name: p for name, p in cell.named_parameters() if p.requires_grad} | {"tokens": tokens}
    slopes = torch.autograd.grad(total, list(named.values()), allow_unused=True)
    return {name: slope for name, slope in zip(named, slopes, strict=True) if slope is not None}


def distances(found: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, float]:
    """Return the relative distance by norm of each tensor."""
    assert found.keys() == expected.keys()
    # The softmax does not see what is added to all keys alike: that bias has a gradient of rounding only.
    pairs = {name: (found[name].double(), expected[name].double()) for name in expected if name != "attention.key.bias"}
    return {
        name: float(((mine - theirs).norm() / theirs.norm().clamp(min=1e-9)).detach())
        for name, (mine, theirs) in pairs.items()
        if theirs.numel()
    }

"""What holds of a model without excitatory and inhibitory populations (CTM, LSTM): losses and monitor."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import tide
from tide.config import LossConfig
from tide.errors import ConfigError
from tide.evaluate.answers import Hedging
from tide.losses import objective, task_loss
from tide.train.monitor import StabilityMonitor
from tide.train.step import MicroBatch

KINDS = ("ctm", "lstm")


def images() -> torch.Tensor:
    return torch.rand(3, 1, 9, 9, generator=torch.Generator().manual_seed(11), dtype=torch.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_objective_is_the_task_alone_and_the_monitor_reads_gradients_without_alarms(tiny_model, kind):
    model, x, labels = tiny_model(kind=kind), images(), torch.tensor([0, 1, 2])
    out = model(x)
    assert (out.ei_ratio, out.dynamics, model.cell.blocks()) == (None, None, None)
    losses = objective(out, labels, None, LossConfig(), curriculum=1.0)
    assert set(losses.terms) == {"task"}
    assert losses.total == losses.terms["task"] == task_loss(out.logits, out.certainty, labels)
    losses.total.backward()
    quantities, alarms = StabilityMonitor(model, 20).read(
        MicroBatch(losses, torch.tensor(0.0), torch.tensor(True), out, labels)
    )
    gradients = {f"gradient_{name}" for name in model.components()}
    assert set(quantities) == gradients | set(Hedging._fields)
    assert all(quantities[name] > 0 for name in gradients)
    assert alarms == []
    pairs = model.cell.pairs()
    assert pairs is None if kind == "lstm" else pairs.shape == (2, 7)


@pytest.mark.parametrize("kind", KINDS)
def test_auxiliary_losses_are_refused_without_two_populations(kind):
    config = tide.preset(f"{kind}.mnist")
    for name in ("ei", "game", "sync", "spectral", "reconstruction"):
        with pytest.raises(ConfigError, match=rf"loss\.{name}_weight must be 0, got 0\.1: core {kind}"):
            replace(config, loss=replace(config.loss, **{f"{name}_weight": 0.1}))

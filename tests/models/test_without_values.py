"""No value decides what runs, but on a CPU: an accelerator never waits for one, and a graph can be captured.

Torch's meta device stands for any accelerator: it holds no values, so that reading one fails.
"""

from __future__ import annotations

import pytest
import torch

from tide.config import LossConfig
from tide.losses import objective


@pytest.mark.parametrize(
    ("core", "options"),
    [
        ({"lateral": {"tolerance": 1e-4}}, {}),
        ({"memory": {"scope": "batch"}, "head": {"dropout": 0.1}, "lateral": {"tolerance": 1e-4}}, {"tbptt": 2}),
        ({"kind": "ctm"}, {"recompute": 2}),
        ({"kind": "lstm"}, {}),
    ],
    ids=["tide", "tide_batch", "ctm", "lstm"],
)
def test_training_and_evaluation_read_no_value_back(tiny_model, core, options):
    model = tiny_model(torch.float32, **core).to("meta").train()
    images, labels = torch.empty(3, 1, 9, 9, device="meta"), torch.empty(3, dtype=torch.long, device="meta")
    out = model(images, record=("attention",), **options)
    objective(out, labels, model.cell.blocks(), LossConfig(), curriculum=1.0).total.backward()
    assert all(p.grad is not None for p in model.cell.head.parameters())
    with torch.no_grad():
        assert model.eval()(images).certainty.shape == (3, model.config.core.ticks)

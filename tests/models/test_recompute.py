"""Recomputed ticks give the same numbers and gradients as kept ones, for every cell, and keep less."""

from __future__ import annotations

import pytest
import torch

from tide.losses import task_loss

CUTS = [(0, 1), (0, 3), (0, 4), (0, 9), (2, 3), (3, 2)]  # (tbptt, recompute) at 7 ticks


def gradients(model, images, **options):
    torch.manual_seed(5)  # dropout, where there is one, must fall alike
    model.zero_grad()
    out = model(images, record="attention", **options)
    task_loss(out.logits, out.certainty, torch.tensor([0, 1, 2])).backward()
    return out, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", ["tide", "ctm", "lstm"])
@pytest.mark.parametrize(("tbptt", "recompute"), CUTS)
def test_outputs_and_gradients_are_those_of_kept_ticks(tiny_model, kind, tbptt, recompute):
    dropout = {} if kind == "tide" else {"dropout": 0.3}
    model = tiny_model(kind=kind, **dropout).train()
    images = torch.rand(3, 1, 9, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    kept, expected = gradients(model, images, ticks=7, tbptt=tbptt)
    again, found = gradients(model, images, ticks=7, tbptt=tbptt, recompute=recompute)
    torch.testing.assert_close(again.logits, kept.logits, rtol=0, atol=0)
    torch.testing.assert_close(again.trace["attention"], kept.trace["attention"], rtol=0, atol=0)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-9, atol=1e-12, msg=name)


def test_fewer_tensors_are_saved_for_the_backward_pass(tiny_model):
    model = tiny_model().train()
    images = torch.rand(3, 1, 9, 9, dtype=torch.float64)

    def saved(recompute: int) -> int:
        held: dict[int, int] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            out = model(images, ticks=24, recompute=recompute)
        assert out.logits.requires_grad
        return sum(held.values())

    assert saved(6) < 0.5 * saved(0)

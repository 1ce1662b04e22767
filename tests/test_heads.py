"""Output head, certainty and the most certain tick (equations §2.9)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import slow
from tide.models.heads import OutputHead, certainty, most_certain


@pytest.mark.parametrize("epsilon", [1e-5, 1.0])
def test_head_equals_the_slow_form(tiny_model, epsilon):
    head = tiny_model(head={"norm_epsilon": epsilon}).cell.head
    generator = torch.Generator().manual_seed(0)
    latent, memory = (torch.randn(2, 3, width, generator=generator, dtype=torch.float64) for width in (12, 5))
    found = head(torch.cat((latent, memory), -1)).detach().numpy()
    p = {name: value.numpy() for name, value in head.state_dict().items()}
    for b, t in np.ndindex(2, 3):
        expected = slow.head(latent[b, t].numpy(), memory[b, t].numpy(), p, epsilon)
        np.testing.assert_allclose(found[b, :, t], expected, rtol=1e-11, atol=1e-13)


def test_dropout_acts_on_the_inputs_of_the_head_in_training_only():
    head = OutputHead(40, 8, 3, dropout=0.5)
    seen = []
    head.layers[1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    ones = torch.ones(4, 2, 40)
    head.train()(ones)
    head.eval()(ones)
    assert set(seen[0].unique().tolist()) == {0.0, 2.0}
    assert (seen[1] == 1).all()


@settings(max_examples=150, deadline=None)
@given(
    logits=st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=12),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_certainty_equals_the_slow_form_and_lies_in_zero_to_one(logits, dtype):
    found = certainty(torch.tensor(logits, dtype=dtype)[None, :, None])
    assert found.shape == (1, 1)
    rounding = 1e-6 if dtype == torch.float32 else 1e-14
    assert -rounding <= found.item() <= 1 + rounding
    if dtype == torch.float64:
        assert found.item() == pytest.approx(slow.certainty(np.array(logits)), abs=1e-13)


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_certainty_is_zero_at_uniform_one_at_a_point_and_blind_to_shifts_and_order(classes):
    uniform = torch.full((1, classes, 1), 3.7, dtype=torch.float64)
    point = torch.zeros(1, classes, 1, dtype=torch.float64)
    point[0, 1] = 1000
    assert certainty(uniform).item() == pytest.approx(0, abs=1e-15)
    assert certainty(point).item() == 1
    some = torch.randn(1, classes, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for same in (some + 50, some.flip(1)):
        torch.testing.assert_close(certainty(same), certainty(some), rtol=0, atol=1e-13)


def test_most_certain_takes_each_sample_s_own_tick_and_the_first_of_equals():
    logits = torch.arange(24.0).reshape(2, 3, 4)
    certainties = torch.tensor([[0.1, 0.9, 0.2, 0.9], [0.3, 0.2, 0.1, 0.4]])
    assert torch.equal(most_certain(logits, certainties), torch.stack((logits[0, :, 1], logits[1, :, 3])))

"""Surprise-gated memory with the E-I retention gate (equations §2.8)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import slow
from tide.nn.memory import SurpriseMemory

BATCH, TICKS, LATENT, TARGET = 3, 5, 12, 4.0


@pytest.fixture
def memory(tiny_model) -> SurpriseMemory:
    return tiny_model().cell.memory


def with_scope(tiny_model, scope: str, training: bool) -> SurpriseMemory:
    return tiny_model(memory={"scope": scope}).cell.memory.train(training)


def inputs(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    latent = torch.randn(BATCH, TICKS, LATENT, generator=generator, dtype=torch.float64)
    return latent, TARGET + torch.randn(BATCH, TICKS, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("scope", ["sample", "batch"])
@pytest.mark.parametrize("training", [True, False])
def test_two_passes_equal_the_literal_ticks(tiny_model, scope, training):
    memory = with_scope(tiny_model, scope, training)
    latent, ratio = inputs()
    read, final = memory(latent, ratio, memory.initial(BATCH))
    p = {name: value.numpy() for name, value in memory.state_dict().items()}
    shared = scope == "batch" and training
    expected = slow.memory_run(latent.numpy(), ratio.numpy(), p, TARGET, 0.9, 0.1, shared)
    for name in ("memory", "surprise", "gate"):
        np.testing.assert_allclose(getattr(read, name).detach().numpy(), expected[name], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(read.reconstruction.detach().numpy(), expected["surprise"], rtol=1e-11)
    np.testing.assert_allclose(final.memory.numpy(), expected["memory"][:, -1], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(final.velocity.numpy(), expected["velocity"][:, -1], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("scope", ["sample", "batch"])
def test_one_tick_at_a_time_with_carry_equals_all_at_once(tiny_model, scope):
    memory = with_scope(tiny_model, scope, True)
    latent, ratio = inputs()
    together, final = memory(latent, ratio, memory.initial(BATCH))
    state, reads = memory.initial(BATCH), []
    for tick in range(TICKS):
        read, state = memory(latent[:, tick : tick + 1], ratio[:, tick : tick + 1], state)
        reads.append(read)
    for name, value in together._asdict().items():
        torch.testing.assert_close(torch.cat([getattr(r, name) for r in reads], 1), value, rtol=1e-13, atol=1e-15)
    for name, value in vars(final).items():
        torch.testing.assert_close(getattr(state, name), value, rtol=1e-13, atol=1e-15)


def test_carried_state_gets_no_gradient_while_heads_and_sharpness_do(memory):
    latent, ratio = (x.requires_grad_() for x in inputs())
    read, final = memory(latent, ratio, memory.initial(BATCH))
    assert not final.memory.requires_grad
    assert not final.velocity.requires_grad
    read.memory[:, -1].sum().backward()
    # The read-out of the last tick reaches the latent of that tick and of no earlier one.
    assert (latent.grad[:, -1] != 0).all()
    assert (latent.grad[:, :-1] == 0).all()
    assert (ratio.grad[:, :-1] == 0).all()
    for name, parameter in memory.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_reconstruction_trains_the_reconstruction_head_and_leaves_the_latent_alone(memory):
    latent, ratio = (x.requires_grad_() for x in inputs())
    memory(latent, ratio, memory.initial(BATCH))[0].reconstruction.sum().backward()
    assert latent.grad is None or not latent.grad.any()
    assert all(parameter.grad.abs().max() > 0 for parameter in memory.reconstruct.parameters())
    assert all(parameter.grad is None for parameter in memory.project.parameters())


def test_gradcheck_of_the_read_out_at_held_state(memory):
    latent, ratio = inputs()
    before, _ = memory.scan(latent, ratio, memory.project(latent), memory.initial(BATCH))
    arguments = (latent.requires_grad_(), ratio.requires_grad_(), *memory.parameters())

    def read(z: torch.Tensor, r: torch.Tensor, *_: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return memory.read(z, r, memory.project(z), before)[:3]

    assert torch.autograd.gradcheck(read, arguments, fast_mode=True)


@pytest.mark.parametrize("training", [True, False])
def test_forward_only_reads_the_persistent_buffers(memory, training):
    memory.train(training)
    before = {name: value.clone() for name, value in memory.state_dict().items()}
    memory(*inputs(), memory.initial(BATCH))
    assert all(torch.equal(value, before[name]) for name, value in memory.state_dict().items())


def test_scope_batch_in_eval_mode_is_independent_of_neighbours_and_in_training_is_not(tiny_model):
    latent, ratio = inputs()
    for training in (False, True):
        memory = with_scope(tiny_model, "batch", training)
        together = memory(latent, ratio, memory.initial(BATCH))[0].memory
        alone = memory(latent[:1], ratio[:1], memory.initial(1))[0].memory
        assert torch.allclose(together[:1], alone, rtol=1e-12, atol=1e-14) != training
        if training:  # one memory for all
            torch.testing.assert_close(together[0], together[1], rtol=0, atol=0)


def test_consolidation_moves_the_buffers_by_the_rate(memory):
    before = memory.memory.clone(), memory.velocity.clone()
    target = torch.ones(5, dtype=torch.float64), torch.full((5,), -2.0, dtype=torch.float64)
    memory.consolidate_(*target)
    torch.testing.assert_close(memory.memory, 0.99 * before[0] + 0.01 * target[0], rtol=1e-13, atol=0)
    torch.testing.assert_close(memory.velocity, 0.99 * before[1] + 0.01 * target[1], rtol=1e-13, atol=0)
    state = memory.initial(2)
    assert torch.equal(state.memory, memory.memory.expand(2, 5))
    assert torch.equal(state.velocity, memory.velocity.expand(2, 5))


@settings(max_examples=60, deadline=None)
@given(ratio=st.floats(0, 20), sharpness=st.floats(-5, 2), target=st.floats(0.5, 8))
def test_gate_lies_in_zero_to_one_and_is_one_at_the_target(ratio, sharpness, target):
    memory = SurpriseMemory(LATENT, ratio_target=target).double()
    memory.sharpness.data.fill_(sharpness)
    gate = memory.gate(torch.tensor([ratio, target], dtype=torch.float64))
    assert 0 <= gate[0] <= 1
    assert gate[0] > 0 or (ratio - target) ** 2 * slow.activation(sharpness, "softplus") > 700
    assert gate[1] == 1
    assert gate[0].item() == pytest.approx(slow.gate(ratio, target, sharpness), rel=1e-12)

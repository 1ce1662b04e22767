"""FIFO, temporal kernels and neuron-level models (equations §2.5, §2.6)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import slow
from tide.nn.neuron_models import NeuronModels, exponential_kernel, push

FLOAT64 = torch.zeros((), dtype=torch.float64)


@settings(max_examples=60, deadline=None)
@given(length=st.integers(2, 60), tau_e=st.floats(0.5, 20), slower=st.floats(1.1, 10), dt=st.floats(0.05, 2))
def test_kernels_sum_to_one_favour_the_newest_and_e_is_faster_than_i(length, tau_e, slower, dt):
    e = exponential_kernel(length, tau_e, dt, FLOAT64)
    i = exponential_kernel(length, tau_e * slower, dt, FLOAT64)
    age = torch.arange(length - 1, -1, -1, dtype=torch.float64)
    for kernel, tau in ((e, tau_e), (i, tau_e * slower)):
        np.testing.assert_allclose(kernel.numpy(), slow.kernel(length, tau, dt), rtol=1e-11, atol=1e-300)
        assert kernel.sum().item() == pytest.approx(1, rel=1e-13)
        assert (kernel.diff() > 0).all()
    assert e[-1] > i[-1]
    assert (e * age).sum() < (i * age).sum()


def test_push_keeps_the_newest_entries_oldest_first():
    entries = torch.arange(1, 8, dtype=torch.float64)
    history = torch.zeros(2, 1, 4, dtype=torch.float64)
    for count, entry in enumerate(entries, 1):
        history = push(history, torch.stack((entry, -entry))[None])
        expected = slow.fifo(entries[:count].tolist(), 4)
        assert history[0, 0].tolist() == expected
        assert history[1, 0].tolist() == [-x for x in expected]


def test_correction_equals_the_slow_form(tiny_model, tiny_config):
    module = tiny_model(neuron_models={"memory_length": 6, "hidden": 3}).cell.neuron_models
    core = tiny_config().core
    history = torch.rand(core.neurons, 2, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = module(history, module.compose()).detach()
    p = {name: value.numpy() for name, value in module.state_dict().items()}
    for b, n in np.ndindex(2, core.neurons):
        weighting = slow.kernel(6, core.tau_e if n < core.n_e else core.tau_i, core.dt)
        layers = p["first"][n], p["first_bias"][n, 0], p["second"][n], p["second_bias"][n, 0]
        expected = slow.neuron_model(history[n, b].tolist(), weighting, *layers)
        assert found[b, n].item() == pytest.approx(expected, rel=1e-11, abs=1e-14)


def test_first_layer_starts_scaled_up_by_the_root_of_the_history_length():
    torch.manual_seed(0)
    module = NeuronModels(16, 4, length=25, hidden=4)
    usual = 1 / math.sqrt(25)
    assert module.first.abs().max().item() == pytest.approx(usual * math.sqrt(25), rel=1e-2)
    assert module.second.abs().max().item() == pytest.approx(1 / math.sqrt(4), rel=2e-2)


def test_gradcheck(tiny_model):
    module = tiny_model().cell.neuron_models
    history = torch.rand(20, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    inputs = (history, *module.parameters())
    assert torch.autograd.gradcheck(lambda x, *_: module(x, module.compose()), inputs, fast_mode=True)

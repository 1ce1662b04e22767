"""Counted costs against counts by hand and against torch's own counters; what is held against tensors one knows of."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tide.analysis.costs import CostCounter, Device, Kernel, count_costs
from tide.analysis.operations import count_operations
from tide.models.presets import preset
from tide.models.thinker import Thinker

TINY = {"batch": 3, "mixed_precision": "none"}


def test_kernels_have_the_operations_and_bytes_of_a_hand_count():
    with FakeTensorMode():
        a, b, row = torch.zeros(2, 3), torch.zeros(3, 5), torch.zeros(5)
        with CostCounter() as counter:
            c = a @ b
            c.t()  # a view: no kernel
            c + row.expand(2, 5)  # an expanded row is read once
            c.bfloat16()
    found = [(kernel.operations, kernel.half, kernel.moved) for kernel in counter.kernels]
    assert found == [
        (2 * 2 * 3 * 5, False, 4 * (6 + 15 + 10)),
        (0, False, 4 * (10 + 5 + 10)),
        (0, True, 4 * 10 + 2 * 10),
    ]


def test_the_peak_is_of_tensors_alive_at_once():
    with FakeTensorMode(), CostCounter() as counter:
        a = torch.zeros(10)
        b = a + 1
        assert (counter.alive, counter.peak) == (80, 80)
        del a
        c = b.view(2, 5)
        assert (counter.alive, counter.peak) == (40, 80)
        del b
        assert counter.alive == 40  # its view holds it
        del c
        assert (counter.alive, counter.peak) == (0, 80)


def test_a_forward_pass_has_the_operations_that_are_counted_for_one_image():
    config = preset("imagenet.tiny", train=TINY)
    kernels = count_costs(config).kernels
    single = count_operations(Thinker(config.model))
    forward = config.train.batch * single.image(config.core.ticks)
    total = sum(kernel.operations for kernel in kernels)
    # Backward takes twice the forward's operations, but for the first layer's input and what has no gradient.
    assert 2.5 * forward < total < 3.05 * forward


def test_mixed_precision_moves_the_backbone_s_operations_and_no_others():
    half = count_costs(preset("imagenet.tiny", train={**TINY, "mixed_precision": "bf16"})).kernels
    single = count_costs(preset("imagenet.tiny", train=TINY)).kernels
    assert sum(k.operations for k in half) == sum(k.operations for k in single)
    assert not any(kernel.half for kernel in single)
    assert {k.name.split(".")[1] for k in half if k.half and k.operations} == {"convolution", "convolution_backward"}


def test_recomputation_holds_less_and_takes_more_operations():
    plain = count_costs(preset("imagenet.tiny", train=TINY, core={"ticks": 16}))
    again = count_costs(preset("imagenet.tiny", train={**TINY, "recompute": 4}, core={"ticks": 16}))
    assert again.held == plain.held
    assert again.peak < plain.peak
    assert sum(k.operations for k in again.kernels) > sum(k.operations for k in plain.kernels)


def test_what_is_held_are_parameters_gradients_and_two_moments():
    config = preset("imagenet.tiny", train=TINY)
    parameters = sum(p.numel() for p in Thinker(config.model).parameters())
    assert count_costs(config).held == 4 * 4 * parameters


@pytest.mark.parametrize(
    ("kernel", "seconds", "graph"),
    [
        (Kernel("product", 1_000, False, 10), 100.0, 100.0),  # arithmetic
        (Kernel("product", 1_000, True, 10), 50.0, 50.0),
        (Kernel("sum", 0, False, 3_000), 30.0, 30.0),  # traffic
        (Kernel("small", 1, False, 1), 5.0, 0.1),  # launch
    ],
)
def test_a_kernel_takes_the_longest_of_arithmetic_traffic_and_launch(kernel, seconds, graph):
    device = Device(half=20.0, single=10.0, bandwidth=100.0, memory=0.0, launch=5.0)
    assert device.seconds([kernel, kernel]) == pytest.approx(2 * seconds)
    assert device.seconds([kernel], graph=True) == pytest.approx(graph)
    assert device.seconds([kernel], share=0.5, graph=True) == pytest.approx(2 * graph)

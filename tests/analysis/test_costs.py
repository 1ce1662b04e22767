"""Counted costs against counts by hand and against torch's own counters; what is held against tensors one knows of."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tide.analysis.costs import CostCounter, Device, Kernel, count_costs, count_operations
from tide.models.presets import preset
from tide.models.thinker import Thinker

TINY = {"batch": 3, "mixed_precision": "none"}
FEW = {"ticks": 3}


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
    config = preset("imagenet.tiny", train=TINY, core=FEW)
    with FakeTensorMode():
        model, images = Thinker(config.model).train(), torch.zeros(3, 3, 64, 64)
        with CostCounter() as counter:
            model(images)
    single = count_operations(Thinker(config.model))
    composed = {kernel.name for kernel in counter.kernels if kernel.operations}
    assert {name.split(".")[1] for name in composed} <= {"mm", "addmm", "bmm", "baddbmm", "convolution", "mv"}
    assert sum(kernel.operations for kernel in counter.kernels) == 3 * single.image(config.core.ticks)


def test_a_step_takes_three_forward_passes_less_the_gradient_of_the_pixels():
    config = preset("imagenet.tiny", train={**TINY, "tbptt": 0}, core=FEW)
    forward = config.train.batch * count_operations(Thinker(config.model)).image(config.core.ticks)
    total = sum(kernel.operations for kernel in count_costs(config).kernels)
    assert 2.8 * forward < total < 3 * forward


def test_what_was_made_outside_is_not_made_by_a_view_or_a_write():
    with FakeTensorMode():
        weight, buffer = torch.zeros(3, 5), torch.zeros(4)
        with CostCounter([weight, buffer]) as counter:
            weight.t()
            buffer.fill_(1.0)
            assert counter.alive == counter.peak == 0
            buffer.copy_(torch.empty(4))
        assert [kernel.moved for kernel in counter.kernels] == [16, 32]  # unwritten memory costs nothing
        assert counter.peak == 16


def test_mixed_precision_moves_the_backbone_s_operations_and_no_others():
    half = count_costs(preset("imagenet.tiny", train={**TINY, "mixed_precision": "bf16"}, core=FEW)).kernels
    single = count_costs(preset("imagenet.tiny", train=TINY, core=FEW)).kernels
    assert sum(k.operations for k in half) == sum(k.operations for k in single)
    assert not any(kernel.half for kernel in single)
    assert {k.name.split(".")[1] for k in half if k.half and k.operations} == {"convolution", "convolution_backward"}


def test_recomputation_holds_less_and_takes_more_operations():
    plain = count_costs(preset("imagenet.tiny", train=TINY, core={"ticks": 8}))
    again = count_costs(preset("imagenet.tiny", train={**TINY, "recompute": 4}, core={"ticks": 8}))
    assert again.held == plain.held
    assert again.peak < plain.peak
    assert sum(k.operations for k in again.kernels) > sum(k.operations for k in plain.kernels)


def test_held_are_parameters_and_moments_and_gradients_of_earlier_micro_batches():
    size = 4 * sum(p.numel() for p in Thinker(preset("imagenet.tiny").model).parameters())
    one = count_costs(preset("imagenet.tiny", train={**TINY, "accumulation": 1}, core=FEW))
    two = count_costs(preset("imagenet.tiny", train={**TINY, "accumulation": 2}, core=FEW))
    assert (one.parameters, one.held, two.held) == (size, 3 * size, 4 * size)
    # All together is at least what it ends with: parameters, moments, gradients.
    assert one.held + one.peak >= 4 * size
    assert two.peak < one.peak


@pytest.mark.parametrize(
    ("kernel", "seconds", "busy"),
    [
        (Kernel("product", 1_000, False, 10), 100.0, 100.0),  # arithmetic
        (Kernel("product", 1_000, True, 10), 50.0, 50.0),
        (Kernel("sum", 0, False, 3_000), 30.0, 30.0),  # traffic
        (Kernel("small", 1, False, 1), 5.0, 0.1),  # launch
    ],
)
def test_a_kernel_takes_the_longest_of_arithmetic_traffic_and_launch(kernel, seconds, busy):
    device = Device(half=20.0, single=10.0, bandwidth=100.0, memory=0.0, launch=5.0)
    assert device.seconds([kernel, kernel]) == pytest.approx(2 * seconds)
    assert device._replace(launch=0.0).seconds([kernel], share=0.5) == pytest.approx(2 * busy)


@pytest.mark.parametrize("task", ["ctm.parity.16", "ctm.sort.8", "lstm.qamnist.small"])
def test_drawn_tasks_are_counted_without_values(task):
    few, more = (count_costs(preset(task, core={"ticks": ticks}, train={"batch": 2})) for ticks in (8, 9))
    assert 0 < few.peak < more.peak
    assert few.parameters == more.parameters

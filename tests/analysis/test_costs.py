"""Operations of a model, and the costs of a training step, against counting by hand."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tide.analysis.costs import CostCounter, Device, Kernel, count_costs, count_operations
from tide.config.io import from_dict
from tide.models.load import model_class
from tide.models.presets import preset
from tide.models.thinker import Thinker

TOKENS, WIDTH, FEATURES, CLASSES = 64, 6, 8, 4


def product(rows: int, inner: int, columns: int) -> int:
    return 2 * rows * inner * columns


def model(tiny_config, bare: bool = True, **core) -> Thinker:
    base = tiny_config(**core)
    config = from_dict(type(base), {"backbone": {"kind": "none", "features": FEATURES}}, base=base) if bare else base
    return model_class(config)(config)


def convolution(inputs: int, outputs: int, kernel: int, size: int) -> int:
    """Of same size, borders counted as the rest."""
    return 2 * inputs * outputs * kernel**2 * size**2


def keys_and_values() -> int:
    return 2 * product(TOKENS, FEATURES, WIDTH)


def read_tokens() -> int:
    """Scores and read-out of all heads, and the output's linear map."""
    return 2 * product(1, WIDTH, TOKENS) + product(1, WIDTH, WIDTH)


def tide_synchrony(pairs: tuple[int, ...], width: int) -> int:
    return sum(product(1, count, width) for count in pairs)


def tide_tick(n_e: int = 16, n_i: int = 4, iterations: int = 5, streams=((9, 7, 5), 4), memory: int = 5) -> int:
    """History of 3, 2 hidden units; latent state 12 wide, head of 6 hidden units."""
    neurons, latent = n_e + n_i, 12
    attention = product(1, latent, WIDTH) + read_tokens()
    dynamics = product(1, WIDTH, neurons) + product(1, neurons, neurons)
    lateral = iterations * (product(1, n_e, n_i) + product(1, n_i, n_e))
    neuron_models = neurons * (product(1, 3, 2 * 2) + product(1, 2, 2))
    # The reconstruction runs twice: in the scan without gradient and in the read of all ticks.
    heads = product(1, latent, memory) + 3 * product(1, memory, memory) + 2 * product(1, memory, latent)
    answer = product(1, latent + memory, 2 * 6) + product(1, 6, CLASSES)
    return attention + dynamics + lateral + neuron_models + tide_synchrony(*streams) + heads + answer


def test_tide_is_counted_as_by_hand(tiny_config):
    found = count_operations(model(tiny_config))
    assert found.tick == tide_tick()
    # The latent state before the first tick is read from the start rates.
    assert found.once == keys_and_values() + tide_synchrony((9, 7, 5), 4)
    assert found.composed == 0
    assert found.image(10) == found.once + 10 * found.tick


def test_tide_s_switches_leave_out_what_they_turn_off(tiny_config):
    untyped = count_operations(model(tiny_config, synchrony={"typed": False}, lateral={"iterations": 2}))
    assert untyped.tick == tide_tick(iterations=2, streams=((21,), 12))
    without = count_operations(model(tiny_config, memory={"enabled": False}, neuron_models={"enabled": False}))
    assert without.tick == tide_tick(memory=0) - 20 * (product(1, 3, 4) + product(1, 2, 2))


def test_the_backbone_is_counted_once_with_its_convolutions(tiny_config):
    # 9 pixels; 4 channels, branches of 3, pooled to 4 x 4 after the stem; tokens on 8 x 8.
    stem = convolution(1, 4, 3, 9) + convolution(4, 4, 3, 9)
    surrounds = (5, 7, 9, 11)  # the centers are part of the same kernels
    branches = sum(convolution(4, 3, k, 4) for k in surrounds) + 4 * convolution(3, 4, 3, 4)
    aggregation = convolution(16, 8, 3, 8) + convolution(8, 8, 3, 8)
    found = count_operations(model(tiny_config, bare=False))
    assert found.once == stem + branches + aggregation + keys_and_values() + tide_synchrony((9, 7, 5), 4)
    assert found.tick == tide_tick()


@pytest.mark.parametrize(
    ("core", "synapses", "models"),
    [
        ({"synapse_depth": 1}, product(1, 26, 40), 20 * (product(1, 3, 4) + product(1, 2, 2))),
        ({"deep": False}, product(1, 26, 20) + 2 * product(1, 20, 16), 20 * product(1, 3, 2)),
        (
            {"synapse_depth": 3},  # widths 20, 18, 16
            product(1, 26, 20) + 2 * (product(1, 20, 18) + product(1, 18, 16)),
            20 * (product(1, 3, 4) + product(1, 2, 2)),
        ),
    ],
    ids=["linear", "shallow", "unet_3"],
)
def test_ctm_is_counted_as_by_hand(tiny_config, core, synapses, models):
    found = count_operations(model(tiny_config, kind="ctm", **core))
    assert found.tick == product(1, 5, WIDTH) + read_tokens() + synapses + models + product(1, 7, CLASSES)
    # The tokens' own linear map, then keys and values.
    assert found.once == product(TOKENS, FEATURES, WIDTH) + 2 * product(TOKENS, WIDTH, WIDTH)
    assert found.composed == product(WIDTH, WIDTH, 5)  # the query's two maps as one


@pytest.mark.parametrize("layers", [1, 3])
def test_lstm_is_counted_as_by_hand(tiny_config, layers):
    found = count_operations(model(tiny_config, kind="lstm", layers=layers))
    units, inputs = 6, [WIDTH] + [6] * (layers - 1)
    recurrent = sum(product(1, size, 4 * units) + product(1, units, 4 * units) for size in inputs)
    assert found.tick == product(1, units, WIDTH) + read_tokens() + recurrent + product(1, units, CLASSES)
    assert found.once == product(TOKENS, FEATURES, WIDTH) + 2 * product(TOKENS, WIDTH, WIDTH)
    assert found.composed == product(WIDTH, WIDTH, units)


def test_counting_leaves_the_model_as_it_was(tiny_model):
    counted = tiny_model(kind="ctm").eval()
    before = {name: value.clone() for name, value in counted.state_dict().items()}
    count_operations(counted)
    assert not counted.training
    assert all(p.requires_grad and p.device.type == "cpu" for p in counted.parameters())
    assert all(torch.equal(value, before[name]) for name, value in counted.state_dict().items())


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

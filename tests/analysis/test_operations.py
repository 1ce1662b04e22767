"""The count of operations against counts by hand, written from the shapes alone."""

from __future__ import annotations

import pytest
import torch

from tide.analysis.costs import count_operations
from tide.config.io import from_dict
from tide.models.load import model_class
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

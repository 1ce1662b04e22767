"""The benchmark of a training step counts its products rightly and splits the whole step."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from torch.nn import functional as F

from tests.scripts import load_benchmark
from tide.config import Config
from tide.config.io import from_dict
from tide.train.step import step_on_random_images
from tide.train.supervised import resolved


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    return load_benchmark("step")


@pytest.fixture
def config(tiny_config) -> Config:
    tiny = tiny_config()
    sections = {"input": tiny.input, "backbone": tiny.backbone, "core": tiny.core}
    return resolved(Config(seed=tiny.seed, **sections, train=from_dict(Config, {"train": {"batch": 3}}).train))


def test_counts_products_and_convolutions_of_forward_and_backward(benchmark):
    a, b = torch.randn(2, 3, requires_grad=True), torch.randn(3, 5, requires_grad=True)
    c, d = torch.randn(4, 2, 3, requires_grad=True), torch.randn(4, 3, 5, requires_grad=True)
    images, kernel = torch.randn(2, 3, 6, 6), torch.randn(7, 3, 3, 3, requires_grad=True)
    with benchmark.ProductCounter() as counter:
        total = (a @ b).sum() + torch.addmm(torch.ones(5), a, b).sum() + (c @ d).sum()
        total = total + torch.baddbmm(torch.ones(4, 2, 5), c, d).sum() + (a @ torch.ones(3)).sum()
        (total + F.conv2d(images, kernel).sum()).backward()
    found = {
        kind: (each["calls"], round(each["gflop"] * 1e9)) for kind, each in benchmark.by_kind(counter.products).items()
    }
    matrix, batched, convolution = 2 * 2 * 3 * 5, 4 * 2 * 2 * 3 * 5, 2 * 2 * 7 * 4 * 4 * 3 * 3 * 3
    assert found == {
        "mm": (5, 5 * matrix),  # one forward; two for each of mm and addmm backward
        "addmm": (1, matrix),
        "bmm": (5, 5 * batched),
        "baddbmm": (1, batched),
        "mv": (1, 2 * 2 * 3),
        "convolution": (1, convolution),
        "convolution_backward": (1, convolution),  # of the kernel only
    }


def test_counts_the_products_of_dynamics_and_neuron_models(benchmark, tiny_model):
    cell, batch = tiny_model().cell, 3
    core = cell.config
    neurons, width = core.neurons, core.attention.width
    length, hidden = core.neuron_models.memory_length, core.neuron_models.hidden
    rates, attended, history = torch.rand(batch, neurons), torch.rand(batch, width), torch.rand(neurons, batch, length)
    with benchmark.ProductCounter() as counter, torch.no_grad():
        cell.wilson_cowan(rates.double(), attended.double(), cell.wilson_cowan.compose())
        cell.neuron_models(history.double(), cell.neuron_models.compose())
    assert [(product.kind, product.flops) for product in counter.products] == [
        ("addmm", 2 * batch * width * neurons),
        ("addmm", 2 * batch * neurons * neurons),
        ("baddbmm", 2 * neurons * batch * length * 2 * hidden),
        ("baddbmm", 2 * neurons * batch * hidden * 2),
    ]


def test_floor_runs_the_same_products(benchmark, config):
    _, step = step_on_random_images(config, torch.device("cpu"))
    with benchmark.ProductCounter() as counter:
        step()
    floor = benchmark.make_floor(counter.products)
    with benchmark.ProductCounter() as again:
        floor()
    assert len(again.products) > 100
    for product, repeated in zip(counter.products, again.products, strict=True):
        assert (repeated.kind, repeated.args) == (product.kind, product.args)


def test_shares_cover_the_step(benchmark, config):
    trainer, step = step_on_random_images(config, torch.device("cpu"))
    step()
    result = benchmark.split(trainer, step, steps=2)
    assert all(value >= 0 for share in result["shares"].values() for value in share.values())
    assert result["sum_of_shares"] == pytest.approx(1, abs=0.03)
    assert result["shares"]["unattributed"]["backward"] < 0.2
    never_backward = ("optimiser, clipping, projection", "unattributed", "loop")
    for name, share in result["shares"].items():
        assert share["forward"] > 0
        assert share["backward"] > 0 or name in never_backward
    assert "forward" not in vars(trainer.model.backbone), "the wrappers are taken off again"

"""Training on the native loop goes on bit for bit from what was saved, at the same number of threads."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch

from tide.config import Config
from tide.config.io import from_dict
from tide.models.thinker import Thinker
from tide.train.step import Trainer, make_optimizer
from tide.train.supervised import resolved


@pytest.fixture
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def test_some_steps_and_the_rest_from_a_checkpoint_equal_all_of_them(tiny_config, native, two_threads):
    tiny = tiny_config(head={"dropout": 0.0})
    sections = {"input": tiny.input, "backbone": tiny.backbone, "core": tiny.core}
    train = from_dict(Config, {"train": {"batch": 20, "steps": 9}}).train
    config = resolved(Config(seed=tiny.seed, **sections, train=train))
    generator = torch.Generator().manual_seed(2)
    batches = [(torch.rand(20, 1, 8, 8, generator=generator), torch.arange(20) % 4) for _ in range(4)]

    def trainer() -> Trainer:
        model = Thinker(config.model)
        return Trainer(model, make_optimizer(model, config.train), config)

    whole, begun, rest = trainer(), trainer(), trainer()
    for step, batch in enumerate(batches):
        assert whole.step(step + 5, [batch]).accepted
    for step, batch in enumerate(batches[:2]):
        begun.step(step + 5, [batch])
    rest.model.load_state_dict(begun.model.state_dict())
    rest.optimizer.load_state_dict(copy.deepcopy(begun.optimizer.state_dict()))
    for step, batch in enumerate(batches[2:], 2):
        rest.step(step + 5, [batch])
    expected = whole.model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in rest.model.state_dict().items())

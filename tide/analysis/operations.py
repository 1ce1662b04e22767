"""How many operations a model takes: matrix products and convolutions, each multiply-add counting two."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from tide.inputs import example, moved
from tide.models.thinker import Thinker


@dataclass(frozen=True)
class Operations:
    """Operations for one image.

    ``once``: backbone, keys and values; ``composed``: weights composed once per forward pass, whatever the batch;
    ``tick``: one tick of the recurrence and its share of the read-out.
    """

    once: int
    composed: int
    tick: int

    def image(self, ticks: int) -> int:
        """Return the operations for one image of a large batch."""
        return self.once + ticks * self.tick


def count_operations(model: Thinker) -> Operations:
    """Count the operations of ``model`` by running it without data or arithmetic, on torch's meta device.

    Elementwise work (norms, gates, products of pairs) is not counted. In training every lateral iteration is taken; so
    it is here.
    """
    model = copy.deepcopy(model).to("meta").train().requires_grad_(False)
    passes = {(batch, ticks): _total(model, batch, ticks) for batch, ticks in ((1, 1), (2, 1), (1, 2))}
    tick = passes[1, 2] - passes[1, 1]
    image = passes[2, 1] - passes[1, 1]
    return Operations(once=image - tick, composed=passes[1, 1] - image, tick=tick)


def _total(model: Thinker, batch: int, ticks: int) -> int:
    inputs = moved(example(model.config, batch), torch.device("meta"))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(inputs, ticks=ticks)
    return int(counter.get_total_flops())

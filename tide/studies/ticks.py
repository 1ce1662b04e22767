"""What internal ticks buy: the same network with fewer and more of them, and at equal operations.

At equal parameters a network with fewer ticks also computes less, so what more ticks gain could be had by computing
more; at equal operations it gets as many neurons as make up for the ticks it lacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from tide.analysis.costs import count_costs
from tide.config import Config
from tide.config_io import from_dict
from tide.errors import ConfigError

PAPER = (10, 25, 50, 75, 100)  # Table 2 v
UNIT = 10  # neurons: whole numbers of both populations at 80:20
NEAR = 0.05  # how far operations may lie off the baseline's, as a share of them


def tick_counts(base: Config) -> tuple[int, ...]:
    """Return the numbers of ticks to compare: the paper's for images, else the task's own, twice it and its halves.

    A list that is emitted over the ticks needs at least as many of them as it has symbols.
    """
    if base.classifies_images:
        return PAPER
    own = base.core.ticks
    halves = [own // 2**power for power in range(own.bit_length()) if own // 2**power >= max(1, base.output.emitted)]
    return (*reversed(halves), 2 * own)


def at_equal_parameters(base: Config) -> Mapping[str, Mapping[str, Any]]:
    """Return the changes that give ``base`` each number of ticks, by the number."""
    return {str(ticks): {"core": {"ticks": ticks}} for ticks in tick_counts(base)}


def at_equal_operations(base: Config) -> Mapping[str, Mapping[str, Any]]:
    """Return the changes that give ``base`` each number of ticks and, by the neurons, its own operations.

    Operations are those of a training step (:func:`tide.analysis.costs.count_costs`). Left out are the numbers of ticks
    at which no number of neurons comes within 5 % of them: a tick's attention and read-out cost something without any.
    """
    wanted = operations(base, base.core.ticks, base.core.neurons)
    variants: dict[str, Mapping[str, Any]] = {}
    for ticks in tick_counts(base):
        neurons = base.core.neurons if ticks == base.core.ticks else _nearest(base, ticks, wanted)
        if abs(operations(base, ticks, neurons) - wanted) <= NEAR * wanted:
            variants[f"{ticks} of {neurons} neurons"] = {"core": {"ticks": ticks, "neurons": neurons}}
    return variants


def operations(base: Config, ticks: int, neurons: int) -> float:
    """Return the operations of a training step of ``base`` with other ticks and neurons.

    They are counted at the fewest ticks possible and at one more: every further tick costs what that one does.
    """
    fewest = max(1, base.output.emitted)
    first, second = (_counted(base, count, neurons) for count in (fewest, fewest + 1))
    return first + (ticks - fewest) * (second - first)


@lru_cache(maxsize=128)
def _counted(base: Config, ticks: int, neurons: int) -> int:
    config = from_dict(Config, {"core": {"ticks": ticks, "neurons": neurons}}, base=base)
    plain = replace(config, train=replace(config.train, tbptt=0, recompute=0))
    return sum(kernel.operations for kernel in count_costs(plain).kernels)


def _nearest(base: Config, ticks: int, wanted: float) -> int:
    """Return the number of neurons, in units, whose operations come nearest to ``wanted``.

    Operations are a polynomial of second degree in the neurons (the weights are square), here through three counts.
    """
    fewest = _fewest(base)
    places = [fewest, 4 * fewest + base.core.neurons, 4 * base.core.neurons]
    square, linear, constant = np.polyfit(places, [operations(base, ticks, neurons) for neurons in places], 2)
    roots = np.roots([square, linear, constant - wanted])
    neurons = max((root.real for root in roots if abs(root.imag) == 0), default=0.0)
    return max(fewest, UNIT * round(neurons / UNIT))


def _fewest(base: Config) -> int:
    """Return the fewest neurons, in units, that ``base`` can have: its pairs want some."""
    for neurons in range(UNIT, base.core.neurons, UNIT):
        try:
            from_dict(Config, {"core": {"neurons": neurons}}, base=base)
        except ConfigError:
            continue
        return neurons
    return base.core.neurons

"""The studies of ticks: which numbers of them, and that equal operations are equal when counted directly."""

from __future__ import annotations

import pytest

from tide.analysis.costs import count_costs
from tide.config import Config
from tide.config.io import from_dict
from tide.models.presets import TASKS, preset
from tide.studies.ablation import NEAR, at_equal_operations, at_equal_parameters, tick_counts


@pytest.mark.parametrize(
    ("task", "counts"),
    [
        ("mnist", (10, 25, 50, 75, 100)),
        ("parity.16", (1, 2, 4, 8, 16, 32)),
        ("maze.9", (1, 3, 7, 15, 30)),
        ("sort.8", (8, 16, 32)),
    ],
)
def test_images_are_compared_at_the_papers_ticks_and_tasks_at_halves_and_the_double_of_their_own(task, counts):
    base = TASKS[task]()
    assert tick_counts(base) == counts
    assert list(at_equal_parameters(base)) == [str(count) for count in counts]


def test_operations_counted_in_full_are_equal_and_fewer_ticks_get_more_neurons():
    base = preset("parity.16", core={"ticks": 4}, train={"batch": 2, "tbptt": 0})
    wanted = sum(kernel.operations for kernel in count_costs(base).kernels)
    variants = at_equal_operations(base)
    neurons = {}
    for changes in variants.values():
        config = from_dict(Config, changes, base=base)
        counted = sum(kernel.operations for kernel in count_costs(config).kernels)
        assert counted == pytest.approx(wanted, rel=NEAR)
        neurons[config.core.ticks] = config.core.neurons
    assert neurons[1] > neurons[2] > neurons[4] == base.core.neurons
    # Twice the ticks cost more than four even with hardly any neurons: left out, not approximated.
    assert 8 not in neurons

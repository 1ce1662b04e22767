"""The native loop against the eager cell: the same numbers and gradients, for every setting that it covers."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from tests.native.loops import VARIANTS, distances, gradients, think
from tide.models.presets import preset
from tide.models.thinker import Thinker

BATCHES = (1, 3, 16, 17, 33)
STRETCHES = ([5], [2, 3], [1, 3, 1])
CASES = [
    # Every variant in both modes; batch sizes and stretches take turns.
    (variant, training, BATCHES[number % len(BATCHES)], STRETCHES[number % len(STRETCHES)])
    for number, (variant, training) in enumerate(product(VARIANTS, (True, False)))
]


def tokens(batch: int, positions: int = 5, width: int = 8, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(batch)
    drawn = torch.randn(batch, positions, width, generator=generator, dtype=torch.float64)
    return drawn.to(dtype).requires_grad_()


@pytest.mark.parametrize(("variant", "training", "batch", "stretches"), CASES)
def test_outputs_and_gradients_equal_those_of_the_eager_cell(tiny_model, double, variant, training, batch, stretches):
    cell, given = tiny_model(**VARIANTS[variant]).cell.train(training), tokens(batch)
    eager, native = think(cell, given, stretches, None), think(cell, given, stretches, double)
    torch.testing.assert_close(native["lateral_iterations"], eager["lateral_iterations"], rtol=0, atol=0)
    assert native["lateral_iterations"].dtype == eager["lateral_iterations"].dtype
    far = distances(native, eager) | distances(gradients(cell, given, native), gradients(cell, given, eager))
    assert max(far.values()) < 1e-11, far


def test_some_samples_stop_the_lateral_inhibition_early_and_others_do_not(tiny_model, double):
    cell = tiny_model(**VARIANTS["tolerance"]).cell.eval()
    assert len(think(cell, tokens(33), [5], double)["lateral_iterations"].unique()) > 1


@pytest.mark.parametrize("batch", [1, 17, 40])
def test_without_gradient_the_same_numbers_come_out(tiny_model, double, batch):
    for training in (True, False):
        cell = tiny_model(**VARIANTS["tolerance"]).cell.train(training)
        kept = think(cell, tokens(batch), [4], double)
        for mode in (torch.no_grad, torch.inference_mode):
            with mode():
                passing = think(cell, tokens(batch).detach(), [4], double)
            assert all(torch.equal(passing[name], kept[name]) for name in kept)


def test_float32_gradients_of_the_recurrent_part_are_those_of_float64(native):
    config = preset("mnist", core={"ticks": 25, "neurons": 128}).model
    cell = Thinker(config).cell.train()
    given = tokens(32, 64, 128, torch.float32)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
        for name, p in cell.named_parameters():
            if name.endswith(("decay", "gain", "start")) or "w_" in name:
                p.clamp_(min=0)
    found = think(cell, given, [25], native)
    slopes = gradients(cell, given, found)
    cell.double()
    exact = given.detach().double().requires_grad_()
    expected = think(cell, exact, [25], None)
    far = distances(found, expected) | distances(slopes, gradients(cell, exact, expected))
    assert max(far.values()) < 2e-6, sorted(far.items(), key=lambda item: -item[1])[:5]

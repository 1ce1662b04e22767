"""Lateral inhibition (equations §2.4)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch

from tests import slow
from tide.nn.lateral import LateralInhibition

N_E, POOL = 12, 3


def make(iterations: int = 5, tolerance: float = 0.0, scale: float = 4.0) -> LateralInhibition:
    """Weights large enough that inhibition silences some neurons, yet the map contracts."""
    torch.manual_seed(1)
    module = LateralInhibition(N_E, POOL, iterations=iterations, tolerance=tolerance).double()
    module.w_in.data *= scale
    module.w_out.data *= scale
    return module


def rates(batch: int = 6) -> torch.Tensor:
    return torch.rand(batch, N_E, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def contraction(module: LateralInhibition) -> float:
    return (module.strength * torch.linalg.matrix_norm(module.w_out @ module.w_in, 2)).item()


def test_equals_the_slow_form_in_both_modes():
    module, e = make(), rates()
    arrays = module.w_in.detach().numpy(), module.w_out.detach().numpy(), module.strength.item()
    expected = np.stack([slow.lateral(row, *arrays, 5)[-1] for row in e.numpy()])
    for training in (True, False):
        inhibited, used = module.train(training)(e, module.compose())
        np.testing.assert_allclose(inhibited.detach().numpy(), expected, rtol=1e-12, atol=1e-14)
        assert used.tolist() == [5] * 6
    assert not np.allclose(expected, e)


def test_zero_iterations_leave_the_rates_alone():
    module, e = make(iterations=0), rates()
    for training in (True, False):
        inhibited, used = module.train(training)(e, module.compose())
        assert torch.equal(inhibited, e)
        assert used.tolist() == [0] * 6


def test_map_is_antitone_so_even_and_odd_iterates_bracket_the_fixed_point():
    e = rates()
    iterates = [make(iterations=k)(e, make().compose())[0] for k in range(8)]
    fixed = make(iterations=300)(e, make().compose())[0]
    assert contraction(make()) < 1
    for k, iterate in enumerate(iterates):
        assert (iterate >= fixed - 1e-14).all() if k % 2 == 0 else (iterate <= fixed + 1e-14).all()
    for narrower, wider in zip(iterates[2:], iterates, strict=False):
        assert ((narrower - fixed).abs() <= (wider - fixed).abs() + 1e-14).all()
    assert (iterates[0] - fixed).abs().max() > 1e-3


def test_contraction_constant_is_at_most_gamma_times_the_norm_of_the_product():
    module, e = make(scale=6.0), rates()
    bound = contraction(module)
    iterates = [make(iterations=k, scale=6.0)(e, module.compose())[0] for k in range(6)]
    steps = [(b - a).norm(dim=1) for a, b in pairwise(iterates)]
    for before, after in pairwise(steps):
        assert (after <= bound * before + 1e-15).all()


def test_a_sample_stops_early_whatever_the_rest_of_the_batch_does():
    module = make(iterations=30, tolerance=1e-4).eval()
    # The weak samples move less, hence stop sooner than the strong ones beside them.
    e = rates() * torch.logspace(-4, 0, 6, dtype=torch.float64)[:, None]
    together, used = module(e, module.compose())
    assert len(set(used.tolist())) > 2
    for row in range(6):
        alone, used_alone = module(e[row : row + 1], module.compose())
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-14, atol=0)
        assert used_alone.item() == used[row].item()
        arrays = module.w_in.detach().numpy(), module.w_out.detach().numpy(), module.strength.item()
        iterates = slow.lateral(e[row].numpy(), *arrays, 30)
        moves = [np.abs(b - a).max() for a, b in pairwise(iterates)]
        first = next(k for k, move in enumerate(moves, 1) if move < 1e-4)
        assert used[row].item() == first
        np.testing.assert_allclose(together[row].detach().numpy(), iterates[first], rtol=1e-12)


def test_gradcheck():
    module, e = make().train(), rates(2).requires_grad_()
    parameters = (module.w_in, module.w_out, module.strength)
    assert torch.autograd.gradcheck(lambda x, *_: module(x, module.compose())[0], (e, *parameters), fast_mode=True)

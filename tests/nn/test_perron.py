"""Perron surrogate (equations §4)."""

from __future__ import annotations

import pytest
import torch

from tide.nn.dynamics import perron_estimate


def positive(seed: int, size: int = 8) -> torch.Tensor:
    return torch.rand(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.01


@pytest.mark.parametrize("seed", range(4))
def test_converges_to_the_perron_eigenvalue_of_a_positive_matrix(seed):
    w = positive(seed)
    exact = torch.linalg.eigvals(w).abs().max()
    torch.testing.assert_close(perron_estimate(w, 60), exact, rtol=1e-13, atol=0)
    torch.testing.assert_close(perron_estimate(w, 20), exact, rtol=1e-6, atol=0)
    torch.testing.assert_close(perron_estimate(300 * w, 60), 300 * exact, rtol=1e-13, atol=0)


def test_is_a_ratio_of_sums_not_of_norms():
    w = torch.tensor([[1.0, 0.0], [3.0, 0.0]], dtype=torch.float64)
    # From uniform v: W v = (0.5, 1.5), sum 2; the ratio of Euclidean norms would be √5.
    assert perron_estimate(w, 0).item() == pytest.approx(2.0, rel=1e-15)


@pytest.mark.parametrize(
    "w",
    [
        torch.zeros(3, 3),
        torch.tensor([[0.0, 1.0, 2.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]]),
    ],
    ids=["zero", "nilpotent"],
)
def test_zero_and_nilpotent_matrices_give_zero_and_a_finite_gradient(w):
    w = w.clone().requires_grad_()
    value = perron_estimate(w)
    value.backward()
    assert value.item() == 0
    assert w.grad is not None
    assert w.grad.isfinite().all()


def test_zero_rows_do_no_harm():
    w = positive(0)
    w[2] = 0
    w[5] = 0
    exact = torch.linalg.eigvals(w).abs().max()
    torch.testing.assert_close(perron_estimate(w, 60), exact, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("iterations", "value"), [(20, 1.5), (21, 4 / 3)])
def test_periodic_matrix_alternates_about_its_perron_value(iterations, value):
    w = torch.tensor([[0.0, 2.0], [1.0, 0.0]], dtype=torch.float64)
    assert perron_estimate(w, iterations).item() == pytest.approx(value, rel=1e-14)


def test_may_exceed_the_spectral_norm_after_few_iterations_but_not_after_many():
    star = torch.tensor([[0.1, 1.0, 1.0], [1.0, 0.1, 0.0], [1.0, 0.0, 0.1]], dtype=torch.float64)
    norm = torch.linalg.matrix_norm(star, 2)
    assert norm < perron_estimate(star, 1) < 1.07 * norm
    torch.testing.assert_close(perron_estimate(star, 400), norm, rtol=1e-13, atol=0)


def test_gradcheck():
    assert torch.autograd.gradcheck(lambda w: perron_estimate(w, 20), positive(3, 5).requires_grad_())

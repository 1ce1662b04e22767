"""Energies of single neurons: formulas, gradients, Nash equilibria (equations §4)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import spence

from tide.analysis.states import dilogarithm, energies, inverse_activation, inverse_activation_integral, nash_residual
from tide.nn.dynamics import activate


def game(seed: int, size: int = 8) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rates (3, D), a signed matrix with two inhibitory columns, drive (3, D)."""
    generator = torch.Generator().manual_seed(seed)
    rates, weights, drive = (
        torch.rand(shape, generator=generator, dtype=torch.float64) for shape in ((3, size), (size, size), (3, size))
    )
    weights[:, -2:] *= -1
    return rates + 0.05, weights / size, 2 * drive - 1


@pytest.mark.parametrize("activation", ["relu", "softplus"])
def test_energies_equal_the_double_sum(activation):
    rates, weights, drive = game(0)
    found = energies(rates, weights, drive, activation)
    for b, i in np.ndindex(*rates.shape):
        x, w = rates[b].tolist(), weights[i].tolist()
        recurrent = sum((0.5 if i == j else 1.0) * w[j] * x[j] for j in range(len(x)))
        integral = inverse_activation_integral(rates[b, i], activation).item()
        assert found[b, i].item() == pytest.approx(-x[i] * recurrent - drive[b, i].item() * x[i] + integral, rel=1e-12)


@pytest.mark.parametrize("activation", ["relu", "softplus"])
def test_own_slope_is_preactivation_minus_what_would_hold_the_rate(activation):
    rates, weights, drive = game(1)
    rates.requires_grad_()
    energy = energies(rates, weights, drive, activation)
    own = torch.stack([torch.autograd.grad(energy[:, i].sum(), rates, retain_graph=True)[0][:, i] for i in range(8)], 1)
    expected = rates @ weights.T + drive - inverse_activation(rates, activation)
    torch.testing.assert_close(-own, expected, rtol=1e-11, atol=1e-13)


@settings(max_examples=200, deadline=None)
@given(h=st.floats(-30, 30), x=st.floats(1e-9, 30))
def test_softplus_energy_falls_where_the_dynamics_rise(h, x):
    h, x = torch.tensor([h, x], dtype=torch.float64)
    energy_force = h - inverse_activation(x, "softplus")
    dynamics_force = activate(h, "softplus") - x
    if dynamics_force.abs() > 1e-12 * (1 + x):
        assert torch.sign(energy_force) == torch.sign(dynamics_force)


def test_inverse_activation_inverts_softplus():
    x = torch.logspace(-12, 2, 60, dtype=torch.float64)
    torch.testing.assert_close(activate(inverse_activation(x, "softplus"), "softplus"), x, rtol=1e-12, atol=0)


def test_dilogarithm_agrees_with_scipy_and_has_its_derivative():
    z = torch.cat((torch.logspace(-8, 0, 50, dtype=torch.float64), torch.linspace(0.4, 1, 50, dtype=torch.float64)))
    reference = torch.from_numpy(spence(1 - z.numpy()))
    torch.testing.assert_close(dilogarithm(z), reference, rtol=5e-15, atol=2e-16)
    inside = z[z < 1].clone().requires_grad_()
    (slope,) = torch.autograd.grad(dilogarithm(inside).sum(), inside)
    torch.testing.assert_close(slope, -torch.log1p(-inside.detach()) / inside.detach(), rtol=1e-11, atol=0)
    points = torch.tensor([0.2, 0.6, 0.9], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(dilogarithm, points)


@pytest.mark.parametrize("x", [1e-6, 0.1, 0.69, 0.7, 3.0, 40.0])
def test_softplus_integral_equals_quadrature(x):
    found = inverse_activation_integral(torch.tensor(x, dtype=torch.float64), "softplus").item()
    # ln(eᵗ − 1) = t + ln((1 − e⁻ᵗ)/t) + ln t: the singular part is integrated by hand, x ln x − x.
    smooth, _ = quad(lambda t: t + math.log(-math.expm1(-t) / t) if t else 0.0, 0, x, epsabs=0, epsrel=1e-10)
    assert found == pytest.approx(smooth + x * math.log(x) - x, rel=1e-11)


def test_softplus_energy_at_zero_is_finite_with_infinite_slope():
    x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    integral = inverse_activation_integral(x, "softplus")
    (slope,) = torch.autograd.grad(integral.sum(), x)
    assert integral.item() == 0
    assert slope.item() == -math.inf


def test_relu_fixed_point_is_a_nash_equilibrium_and_nothing_near_it_is():
    _, weights, drive = game(2)
    x = torch.zeros(3, 8, dtype=torch.float64)
    for _ in range(400):
        x = 0.7 * x + 0.3 * torch.relu(x @ weights.T + drive)
    silent = torch.relu(x @ weights.T + drive) == 0
    x = x.masked_fill(silent, 0.0).requires_grad_()
    energy = energies(x, weights, drive, "relu")
    slope = torch.stack([torch.autograd.grad(energy[:, i].sum(), x, retain_graph=True)[0][:, i] for i in range(8)], 1)
    assert 0 < silent.sum() < silent.numel()
    torch.testing.assert_close(nash_residual(x, weights, drive), torch.zeros_like(x), rtol=0, atol=1e-13)
    assert (slope[silent] >= 0).all()
    assert (slope[~silent].abs() < 1e-13).all()
    for neuron in range(8):
        moved = x.detach().clone()
        moved[0, neuron] += 0.1
        assert nash_residual(moved, weights, drive)[0].abs().max() > 1e-2

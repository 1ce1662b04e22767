"""Dale's principle and the other bounds (equations §3)."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tide.nn.constraints import Bounded, bounded_parameters, project_, violations

BOUNDED = {
    *(f"wilson_cowan.{name}" for name in ("w_ee", "w_ei", "w_ie", "w_ii", "gain", "start")),
    *(f"lateral.{name}" for name in ("w_in", "w_out", "strength")),
    "synchronisation.decay",
}


class Box(Bounded):
    """One matrix in an interval."""

    def __init__(self, values: torch.Tensor, low: float, high: float) -> None:
        super().__init__()
        self.values = torch.nn.Parameter(values.clone())
        self.interval = (low, high)

    def bounds(self):
        return {"values": self.interval}


def projected(values: torch.Tensor, low: float, high: float) -> torch.Tensor:
    box = Box(values, low, high)
    project_(box)
    return box.values.detach()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(0.0, float("inf")), (0.0, 1.0), (0.0, 15.0)]))
def test_projection_is_idempotent_non_expansive_and_nearest(seed, interval):
    generator = torch.Generator().manual_seed(seed)
    x, y = 10 * torch.randn(2, 5, 6, generator=generator, dtype=torch.float64)
    p, q = projected(x, *interval), projected(y, *interval)
    assert torch.equal(projected(p, *interval), p)
    assert (p - q).norm() <= (x - y).norm()
    # The nearest point p of a convex set: the angle between x − p and q − p is never acute, for all q in the set.
    assert ((x - p) * (q - p)).sum() <= 1e-9
    assert (x - p).norm() <= (x - q).norm()


def test_projected_descent_contracts_at_the_strongly_convex_rate():
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    curvature = torch.rand(6, 6, generator=generator, dtype=torch.float64) * 3 + 0.5
    mu, smoothness = curvature.min(), curvature.max()
    best, w = target.clamp(min=0), torch.rand(6, 6, generator=generator, dtype=torch.float64)
    for _ in range(20):
        following = projected(w - curvature * (w - target) / smoothness, 0.0, float("inf"))
        assert (following - best).norm() <= (1 - mu / smoothness) * (w - best).norm() + 1e-15
        w = following
    assert (w - best).norm() < 0.1


@pytest.mark.parametrize(("norm", "highest_gain"), [("rms", float("inf")), ("rms_cap", 1.0)])
def test_every_bounded_parameter_of_the_model_is_projected_and_no_other(tiny_model, norm, highest_gain):
    cell = tiny_model(norm=norm).cell
    assert {name for name, _, _ in bounded_parameters(cell)} == BOUNDED
    intervals = {name: interval for name, _, interval in bounded_parameters(cell)}
    assert intervals.pop("synchronisation.decay") == (0.0, 15.0)
    assert intervals.pop("wilson_cowan.gain") == (0.0, highest_gain)
    assert set(intervals.values()) == {(0.0, float("inf"))}
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.copy_(40 * torch.randn_like(parameter))
    cell.lateral.strength.data.fill_(-1.0)
    assert set(violations(cell)) == BOUNDED
    before = {name: parameter.clone() for name, parameter in cell.named_parameters()}
    project_(cell)
    assert violations(cell) == []
    for name, parameter in cell.named_parameters():
        assert torch.equal(parameter, before[name]) == (name not in BOUNDED)


MATRICES = {name for name in BOUNDED if ".w_" in name}


def test_without_dale_the_six_matrices_are_free_and_keep_their_signs(tiny_model):
    cell = tiny_model(dale=False).cell
    assert len(MATRICES) == 6
    assert {name for name, _, _ in bounded_parameters(cell)} == BOUNDED - MATRICES
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.copy_(torch.randn_like(parameter) - 1)
    before = {name: cell.get_parameter(name).clone() for name in MATRICES}
    project_(cell)
    assert violations(cell) == []
    for name, values in before.items():
        assert torch.equal(cell.get_parameter(name), values)
        assert (values < 0).any()
    assert (cell.wilson_cowan.start >= 0).all()
    assert cell.lateral.strength >= 0


def test_a_bounded_parameter_that_is_not_a_number_is_a_violation(tiny_model):
    cell = tiny_model().cell
    cell.wilson_cowan.w_ii.data[0, 0] = float("nan")
    assert violations(cell) == ["wilson_cowan.w_ii"]

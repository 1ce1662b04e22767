"""The guaranteed modes: what is projected is certified, by numpy and in simulation; what is inside stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.nn.parts import part
from tide.config import CoreConfig, LateralConfig, SynchronyConfig
from tide.errors import ConfigError
from tide.nn.constraints import (
    LDS_MARGIN,
    MARGIN,
    RecurrentBlocks,
    balance_ratio,
    lds_rate,
    project_contraction_,
    project_lds_,
    small_gain_matrix,
    small_gain_rate,
)

PAIRS = SynchronyConfig(pairs_ee=3, pairs_ei=3, pairs_ii=1)
KINDS = ("dense", "sparse", "block", "permutation", "nilpotent", "zero")


def core(guarantee: str = "none", **settings_: object) -> CoreConfig:
    return CoreConfig(neurons=20, synchrony=PAIRS, norm="rms_cap", guarantee=guarantee, **settings_)


def block(rows: int, columns: int, kind: str, scale: float, seed: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    w = rng.uniform(size=(rows, columns))
    if kind == "sparse":
        w *= rng.uniform(size=w.shape) < 0.15
    elif kind == "block":
        w[: rows // 2, columns // 2 :] = w[rows // 2 :, : columns // 2] = 0
    elif kind == "permutation":
        w = np.eye(rows, columns)[rng.permutation(rows)]
    elif kind == "nilpotent":
        w = np.triu(w, 1)
    elif kind == "zero":
        w *= 0
    return torch.tensor(scale * w / max(1, columns) ** 0.5, dtype=torch.float32)


@st.composite
def matrices(draw: st.DrawFn) -> RecurrentBlocks:
    kind, seed = draw(st.sampled_from(KINDS)), draw(st.integers(0, 10_000))
    scales = [draw(st.floats(0, 8)) for _ in range(4)]
    shapes = ((16, 16), (16, 4), (4, 16), (4, 4))
    parts = (block(*shape, kind, s, seed + n) for n, (shape, s) in enumerate(zip(shapes, scales, strict=True)))
    return RecurrentBlocks(*parts)


def copies(blocks: RecurrentBlocks) -> RecurrentBlocks:
    return RecurrentBlocks(*(b.clone() for b in blocks))


@settings(max_examples=60, deadline=None)
@given(matrices())
def test_every_matrix_projected_for_contraction_satisfies_the_small_gain_condition(blocks):
    project_contraction_(blocks)
    k = np.array([np.linalg.norm(b.double().numpy(), 2) for b in blocks]).reshape(2, 2)
    assert np.abs(np.linalg.eigvals(k)).max() <= 1 - MARGIN
    assert k[0, 0] < 1 and k[1, 1] < 1  # noqa: PT018 - one condition, in two parts
    assert (1 - k[0, 0]) * (1 - k[1, 1]) > k[0, 1] * k[1, 0]
    assert all(bool((b >= 0).all()) for b in blocks)
    again = copies(blocks)
    project_contraction_(again)
    assert all(torch.equal(a, b) for a, b in zip(again, blocks, strict=True))


@settings(max_examples=60, deadline=None)
@given(matrices(), st.sampled_from([(5.0, 20.0, 1.0), (4.0, 7.0, 0.5), (3.0, 30.0, 2.0)]))
def test_every_matrix_projected_for_lds_has_a_diagonal_p_for_both_inequalities(blocks, times):
    config = core("lds", tau_e=times[0], tau_i=times[1], dt=times[2])
    project_lds_(blocks, config)
    alpha = np.array([times[2] / times[0]] * 16 + [times[2] / times[1]] * 4)
    p = np.diag([1.0] * 16 + [balance_ratio(config)] * 4)
    w = blocks.effective().double().numpy()
    m = np.eye(20) + alpha[:, None] * (w - np.eye(20))
    assert np.linalg.eigvalsh(m.T @ p @ m - p).max() < 0
    q = p * alpha  # P·diag(α) proves LDS
    assert np.linalg.eigvalsh(q @ (w - np.eye(20)) + (w - np.eye(20)).T @ q).max() < 0
    assert lds_rate(blocks, config) <= 1 - LDS_MARGIN * alpha.min()
    assert all(bool((b >= 0).all()) for b in blocks)
    again = copies(blocks)
    project_lds_(again, config)
    assert all(torch.equal(a, b) for a, b in zip(again, blocks, strict=True))


@pytest.mark.parametrize("mode", ["contraction", "lds"])
def test_what_satisfies_the_condition_is_returned_bit_for_bit(mode):
    shapes = ((16, 16), (16, 4), (4, 16), (4, 4))
    blocks = RecurrentBlocks(*(block(*shape, "dense", 0.2, n) for n, shape in enumerate(shapes)))
    before = copies(blocks)
    project_contraction_(blocks) if mode == "contraction" else project_lds_(blocks, core("lds"))
    assert all(torch.equal(a, b) for a, b in zip(before, blocks, strict=True))


@pytest.mark.parametrize("mode", ["contraction", "lds"])
def test_a_small_violation_costs_less_than_scaling_would(mode):
    config = core(mode)
    shapes = ((16, 16), (16, 4), (4, 16), (4, 4))
    blocks = RecurrentBlocks(*(block(*shape, "dense", 3.0, n) for n, shape in enumerate(shapes)))
    project = project_contraction_ if mode == "contraction" else lambda b: project_lds_(b, config)
    project(blocks)

    def inside(b: RecurrentBlocks) -> bool:
        kept = copies(b)
        project(kept)
        return all(torch.equal(x, y) for x, y in zip(kept, b, strict=True))

    pushed = blocks
    while inside(pushed):  # just over the boundary
        pushed = RecurrentBlocks(*(b * 1.01 + 2e-3 * torch.rand_like(b) for b in pushed))
    moved = copies(pushed)
    project(moved)

    def distance(others: RecurrentBlocks) -> float:
        return sum(float((a - b).square().sum()) for a, b in zip(pushed, others, strict=True)) ** 0.5

    low, high = 0.0, 1.0  # the greatest factor by which all may be scaled
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if inside(RecurrentBlocks(*(b * middle for b in pushed))) else (low, middle)
    assert 0 < distance(moved) < 0.9 * distance(RecurrentBlocks(*(b * low for b in pushed)))


@pytest.mark.parametrize("activation", ["relu", "softplus"])
def test_the_implemented_core_contracts_at_the_certified_rate_whatever_the_input(activation):
    torch.manual_seed(0)
    config = core("contraction", activation=activation)
    wilson_cowan = part("wilson_cowan", config).double()
    rate = small_gain_rate(wilson_cowan.blocks(), config)
    assert 0.9 < rate < 1
    weights = wilson_cowan.compose()
    first, second = torch.rand(8, 20).double() * 5, torch.rand(8, 20).double() * 5
    with torch.no_grad():
        for _ in range(60):
            drive = 3 * torch.randn(8, config.attention.width).double()  # another input at every tick
            before = wilson_cowan.certified_norm(first - second)
            first, second = (wilson_cowan(r, drive, weights).rates for r in (first, second))
            after = wilson_cowan.certified_norm(first - second)
            assert bool((after <= rate * before + 1e-12).all())


def test_without_projection_the_same_core_does_not_contract():
    torch.manual_seed(0)
    config = core()
    wilson_cowan = part("wilson_cowan", config).double()
    with torch.no_grad():
        for w in wilson_cowan.blocks():
            w.mul_(4)
    assert small_gain_rate(wilson_cowan.blocks(), config) > 1


def test_initial_weights_of_a_guaranteed_core_are_inside():
    for mode in ("contraction", "lds"):
        config = core(mode)
        wilson_cowan = part("wilson_cowan", config)
        before = [b.clone() for b in wilson_cowan.blocks()]
        wilson_cowan.restrain_()
        assert all(torch.equal(a, b) for a, b in zip(before, wilson_cowan.blocks(), strict=True))


def test_small_gain_matrix_holds_exact_norms():
    blocks = RecurrentBlocks(
        torch.diag(torch.tensor([3.0, 1.0])),
        torch.ones(2, 2),
        torch.zeros(2, 2),
        torch.tensor([[0.0, 2.0], [0.0, 0.0]]),
    )
    assert small_gain_matrix(blocks).flatten().tolist() == pytest.approx([3.0, 2.0, 0.0, 2.0])


@pytest.mark.parametrize(
    ("changes", "met"),
    [
        ({"norm": "rms"}, "core.norm must be rms_cap with core.guarantee"),
        ({"dale": False}, "core.guarantee must be none without core.dale and core.inhibition, got contraction"),
        ({"inhibition": False}, "core.guarantee must be none without core.dale and core.inhibition, got contraction"),
        ({"guarantee": "lyapunov"}, "one of none, contraction, lds, got 'lyapunov'"),
    ],
)
def test_a_guarantee_that_would_mean_nothing_is_refused(changes, met):
    settings = {"norm": "rms_cap", "guarantee": "contraction", "lateral": LateralConfig(), **changes}
    with pytest.raises(ConfigError, match=met):
        CoreConfig(**settings)

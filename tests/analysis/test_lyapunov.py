"""Lyapunov diagonal stability: every answer against criteria and checks that share nothing with the search."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.analysis.instances import KINDS, check_certificate, matrix, signed, steps
from tide.analysis.lyapunov import Certificate, certify, certify_step, cheap_test, euler_map, verify

SIZES = (2, 3, 5, 8, 13)
SEEDS = st.integers(0, 10**6)


# Exact criteria


@settings(max_examples=150, deadline=None)
@given(st.floats(0, 3), *[st.floats(0, 50)] * 3)
def test_two_neurons_under_dale_are_decided_as_the_exact_criterion_says(ee, ei, ie, ii):
    w = matrix([[ee, -ei], [ie, -ii]])
    found = certify(w)
    check_certificate(w, found)
    if found.answer == "unknown":
        assert abs(1 - ee) < 1e-3
    else:
        assert (found.answer == "proved") == (ee < 1 and (1 - ee) * (1 + ii) + ei * ie > 0)


@settings(max_examples=150, deadline=None)
@given(*[st.floats(-4, 4)] * 4)
def test_two_neurons_of_any_sign_are_decided_as_the_exact_criterion_says(a, b, c, d):
    w = matrix([[a, b], [c, d]])
    found = certify(w)
    check_certificate(w, found)
    determinant = (1 - a) * (1 - d) - b * c
    boundary = min(abs(1 - a), abs(1 - d), abs(determinant))
    if found.answer == "unknown":
        assert boundary < 1e-3
    elif boundary > 1e-12:  # closer, the determinant itself is rounding
        assert (found.answer == "proved") == (a < 1 and d < 1 and determinant > 0)


GRID = np.array([(i, j, 60 - i - j) for i in range(1, 59) for j in range(1, 60 - i)]) / 60


@settings(max_examples=120, deadline=None)
@given(SEEDS)
def test_three_neurons_agree_with_a_grid_over_all_diagonals(seed):
    w = torch.from_numpy(np.random.default_rng(seed).uniform(-2.5, 2.0, (3, 3)))
    found = certify(w)
    check_certificate(w, found)
    a = w.numpy() - np.eye(3)
    greatest = np.linalg.eigvalsh(GRID[:, :, None] * a + np.swapaxes(a, 0, 1) * GRID[:, None, :])[:, -1].min()
    if greatest < 0:
        assert found.answer == "proved"
    # Any p is within 0.05 of the grid, and λ_max moves by at most 2‖A‖ times that.
    if greatest > 0.1 * np.linalg.norm(a, 2):
        assert found.answer == "refuted"


# Proofs are proofs


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(KINDS), st.sampled_from(SIZES), SEEDS)
def test_every_answer_carries_its_proof_and_the_network_does_what_it_says(kind, n, seed):
    w = signed(kind, n, seed)
    found = certify(w)
    check_certificate(w, found)
    a, rng = w.numpy() - np.eye(n), np.random.default_rng(seed)
    if found.answer == "refuted":
        return
    if cheap_test(w) < 1 - 1e-9:
        assert found.answer == "proved"
        assert verify(w, Certificate("proved", 0.0, "P = I", p=torch.ones(n)))
    if found.answer == "proved":
        for _ in range(5):
            tau = 10 ** rng.uniform(-2, 2, n)
            assert np.linalg.eigvals(a / tau[:, None]).real.max() < 0
            part = torch.from_numpy(rng.permutation(n)[: rng.integers(1, n + 1)])
            assert verify(w[part][:, part], replace(found, p=found.p[part]))
            assert certify(w[part][:, part]).answer == "proved"


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(KINDS), st.sampled_from(SIZES), SEEDS)
def test_a_certificate_of_the_euler_map_also_proves_continuous_time(kind, n, seed):
    w, alpha = signed(kind, n, seed), steps(n)
    found = certify_step(w, alpha)
    check_certificate(w, found, alpha)
    if found.answer == "proved":
        assert np.abs(np.linalg.eigvals(euler_map(w, alpha).numpy())).max() < 1
        assert verify(w, replace(found, p=found.p * alpha))
        assert certify(w).answer != "refuted"


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(KINDS), st.sampled_from(SIZES), SEEDS)
def test_time_constants_scales_of_rates_and_the_order_of_neurons_change_no_answer(kind, n, seed):
    w, rng = signed(kind, n, seed), np.random.default_rng(seed)
    rows, scale = (torch.from_numpy(10 ** rng.uniform(-0.5, 0.5, n)) for _ in range(2))
    order, identity = torch.from_numpy(rng.permutation(n)), torch.eye(n, dtype=torch.float64)
    variants = (w, identity + rows[:, None] * (w - identity), scale[:, None] * w / scale, w[order][:, order])
    assert len({certify(variant).answer for variant in variants} - {"unknown"}) <= 1

"""Lyapunov diagonal stability of known networks; certificates that claim too much; bad input; large networks."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.analysis.instances import check_certificate, ei_matrix, excitatory, matrix, steps
from tide.analysis.lyapunov import Certificate, certify, certify_step, cheap_test, euler_map, verify
from tide.analysis.matrices import spectral_radius
from tide.errors import InputError

# Known networks

# E₂ drives E₁, both drive I, I inhibits E₂: Hurwitz with λ_P(W_EE) = 0, and yet some time constants destabilise it.
RING = matrix([[0, 4, 0], [0, 0, -8], [2, 8, 0]])


def joined(w: torch.Tensor, row: float, column: float) -> torch.Tensor:
    """The network with one more neuron, which hears the others with weight ``row`` and is heard with ``column``."""
    larger = torch.zeros(len(w) + 1, len(w) + 1, dtype=w.dtype)
    larger[:-1, :-1], larger[-1, :-1], larger[:-1, -1] = w, row, column
    return larger


@pytest.mark.parametrize(("row", "column"), [(0.0, 0.0), (0.0, 0.3), (0.3, 0.0)])
def test_a_network_stays_refuted_when_a_neuron_joins_that_drives_it_or_listens_only(row, column):
    assert np.linalg.eigvals(RING.numpy() - np.eye(3)).real.max() < -0.5
    for w, alpha in ((RING, None), (joined(RING, row, column), None), (joined(RING, row, column), steps(4))):
        found = certify(w) if alpha is None else certify_step(w, alpha)
        assert found.answer == "refuted"
        check_certificate(w, found, alpha)
    tau = np.array([0.2, 1, 1])
    assert np.linalg.eigvals((RING.numpy() - np.eye(3)) / tau[:, None]).real.max() > 0


@pytest.mark.parametrize("alpha", [None, steps(3)], ids=["continuous", "step"])
def test_proofs_and_refutations_leave_a_thin_band_between_them_and_none_holds_on_the_other_side(alpha):
    # What holds at t·RING holds at every smaller t: one threshold, found by bisection from both sides.
    def decide(t: float) -> Certificate:
        found = certify(t * RING) if alpha is None else certify_step(t * RING, alpha)
        check_certificate(t * RING, found, alpha)
        return found

    low, high = decide(0.1), decide(1.0)
    proved, refuted = 0.1, 1.0
    assert (low.answer, high.answer) == ("proved", "refuted")
    for wanted in ("proved", "refuted"):
        near, far = (proved, refuted) if wanted == "proved" else (refuted, proved)
        for _ in range(14):
            middle = decide((near + far) / 2)
            if middle.answer == wanted:
                near = (near + far) / 2
                low, high = (middle, high) if wanted == "proved" else (low, middle)
            else:
                far = (near + far) / 2
        proved, refuted = (near, refuted) if wanted == "proved" else (proved, near)
    assert 0 < refuted - proved < 1e-3 * proved
    assert not verify(refuted * RING, low, alpha)
    assert not verify(proved * RING, high, alpha)


@pytest.mark.parametrize("n", [8, 30])
def test_networks_without_loops_are_proved_however_far_apart_the_entries_of_p_lie(n):
    chain = torch.diag(torch.full((n - 1,), 3.0, dtype=torch.float64), 1)
    for w in (chain, chain.T, -chain, chain[:8, :8].cumsum(1)):
        assert certify(w).answer == certify_step(w, steps(len(w))).answer == "proved"
        assert verify(w, certify(w))
        assert verify(w, certify_step(w, steps(len(w))), steps(len(w)))


@pytest.mark.parametrize("w", [0.1, 2.0, 5.0, 10.0, 1e3, 1e6])
def test_a_rotation_is_proved_in_continuous_time_at_every_strength(w):
    rotation = matrix([[0, -w], [w, 0]])
    assert cheap_test(rotation) == 0
    check_certificate(rotation, certify(rotation))
    assert certify(rotation).answer == "proved"


@pytest.mark.parametrize(
    ("w", "answer", "radius"), [(2, "proved", 0.894), (5, "refuted", 1.005), (10, "refuted", 1.327)]
)
def test_the_euler_map_of_a_rotation_is_proved_or_refuted_by_its_strength(w, answer, radius):
    rotation, alpha = matrix([[0, -w], [w, 0]]), matrix([[0.2, 0.05]])[0]
    found = certify_step(rotation, alpha)
    assert spectral_radius(euler_map(rotation, alpha)) == pytest.approx(radius, abs=1e-3)
    assert found.answer == answer
    assert answer == "proved" or f"spectral radius {radius:.4g}" in found.reason
    check_certificate(rotation, found, alpha)


def test_a_perron_eigenvalue_of_fifteen_is_refuted_by_name_whatever_inhibition_does():
    w = ei_matrix(30, 0, 1.6, 2.0)
    n_e = excitatory(30)
    w[:n_e, :n_e] *= 15 / np.abs(np.linalg.eigvals(w[:n_e, :n_e].numpy())).max()
    w[:n_e, n_e:] *= 100
    found = certify(w)
    check_certificate(w, found)
    assert found.answer == "refuted"
    assert "W_EE" in found.reason
    assert " 15," in found.reason
    assert (found.witness[n_e:] == 0).all()


# Certificates that claim too much


def test_tampered_certificates_and_empty_claims_are_not_verified():
    w, other = ei_matrix(12, 0, 1.6, 3.0), ei_matrix(12, 0, 2.4, 3.0)
    proof, refutation = certify(w), certify(other)
    assert (proof.answer, refutation.answer) == ("proved", "refuted")
    assert verify(w, proof)
    assert verify(other, refutation)
    p, x = proof.p, refutation.witness
    wild, negative, zero, hollow = (p.clone() for _ in range(4))
    wild[3] *= 1e4
    negative[3], zero[3], hollow[3] = -p[3], 0.0, torch.nan
    for bad in (wild, negative, zero, hollow, -p, p[:-1], p[:1], None):
        assert not verify(w, replace(proof, p=bad)), bad
    for bad in (x * 0, x.clone().fill_(torch.nan), x[:-1], x[:, :0], None):
        assert not verify(other, replace(refutation, witness=bad)), bad
    assert not verify(w, refutation)  # the witness of another matrix
    assert not verify(other, proof)
    assert not verify(w, replace(proof, answer="refuted"))
    assert not verify(other, replace(refutation, answer="proved"))
    assert not verify(w, replace(proof, answer="unknown"))
    rotation = matrix([[0, -5], [5, 0]])
    assert not verify(rotation, certify(rotation), matrix([[0.2, 0.05]])[0])  # of continuous time, not of the map


@pytest.mark.parametrize(
    ("w", "told"),
    [
        (matrix([[0, torch.nan], [0, 0]]), "must be finite, got NaN or infinity"),
        (matrix([[0, torch.inf], [0, 0]]), "must be finite, got NaN or infinity"),
        (torch.zeros(2, 3), r"must be square \(n, n\), got shape \(2, 3\)"),
        (torch.zeros(0, 0), r"must be square \(n, n\), got shape \(0, 0\)"),
        (torch.zeros(4), r"must be square \(n, n\), got shape \(4,\)"),
    ],
    ids=["nan", "inf", "wide", "empty", "vector"],
)
def test_what_is_no_finite_square_matrix_is_refused_in_one_line(w, told):
    unknown = Certificate("unknown", 0.0, "")
    for call in (certify, cheap_test, lambda w: certify_step(w, torch.ones(2)), lambda w: verify(w, unknown)):
        with pytest.raises(InputError, match="W_eff " + told) as caught:
            call(w)
        assert "\n" not in str(caught.value)


# Size


@pytest.mark.parametrize(("inhibit", "answer"), [(2.0, "proved"), (35.0, "refuted")])
def test_512_neurons_are_decided_within_five_seconds_on_one_core(inhibit, answer):
    w = ei_matrix(512, 3, 1.9, inhibit)
    started = time.process_time()
    found = certify(w)
    assert time.process_time() - started <= 5
    assert found.answer == answer
    assert "eigenvalue" not in found.reason  # the search decided
    assert verify(w, found)


def test_above_512_neurons_lanczos_iteration_decides_also_where_it_does_not_converge():
    chain = torch.diag(torch.full((599,), 0.9, dtype=torch.float64), 1)
    for w in (ei_matrix(600, 0, 1.6, 2.0), chain):
        found = certify(w)
        assert found.answer == "proved"
        assert verify(w, found)
        a = w.numpy() - np.eye(600)
        gap = found.p.numpy()[:, None] * a
        assert -np.linalg.eigvalsh(gap + gap.T)[-1] == pytest.approx(found.margin, rel=1e-5)

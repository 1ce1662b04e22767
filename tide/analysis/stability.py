"""Everything that can be said of a TIDE network's stability, gathered: weights, states met on images, fixed points.

Raw weights and the function that they compute are kept apart throughout: under norm ``rms`` the first say nothing of
the second (the scale gauge, :mod:`tide.analysis.gauge`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from tide.analysis.balance import balance_index, regime
from tide.analysis.dale import dale_audit
from tide.analysis.fixed_points import HeldCore
from tide.analysis.game import game_report
from tide.analysis.gauge import normalised_matrices
from tide.analysis.jacobian import Tick
from tide.analysis.linear import isolated_excitatory, isolated_inhibitory, step_bound
from tide.analysis.lyapunov import Certificate, certify, certify_step, cheap_test
from tide.analysis.matrices import spectral_radius
from tide.analysis.parts import correction_gains, lateral_bound, meeting
from tide.analysis.trajectory import Trajectory, follow, tide_cell
from tide.config import CoreConfig
from tide.core.blocks import RecurrentBlocks
from tide.core.perron import perron_estimate
from tide.core.wilson_cowan import per_neuron
from tide.models.thinker import Thinker

SPECTRA = 4  # ticks at which spectra are taken
APPROACH_TICKS = 600  # how long a trajectory with held input is followed


def analyse(
    model: Thinker, images: Tensor, *, progress: Callable[[str], None] = lambda what: None
) -> tuple[dict[str, Any], Certificate]:
    """Return the whole analysis as plain data, and the certificate of the raw weights.

    ``model`` is converted to float64; ``images`` (B, channels, H, W) are real ones. Raises
    :class:`~tide.errors.InputError` for a model without excitatory and inhibitory weights.
    """
    model = model.cpu().double().eval()
    core, images = tide_cell(model).config, images.cpu().double()
    blocks = RecurrentBlocks(*(block.detach() for block in tide_cell(model).blocks()))
    progress("weights")
    raw, certificate = raw_weights(blocks, core)
    progress("states")
    trajectory = follow(model, images)
    ticks = spread_ticks(core.ticks)
    progress("normalised matrices")
    normalised = normalised_weights(model, trajectory, ticks)
    progress("spectra")
    spectra = spectra_at(model, trajectory, ticks)
    progress("fixed points")
    fixed = fixed_points(model, trajectory)
    progress("balance, game, Dale")
    last = trajectory.states[-1].rows(torch.tensor([0]))
    return {
        "core": {
            "neurons": [core.n_e, core.n_i],
            "norm": core.norm,
            "ticks": core.ticks,
            "feedback": core.neuron_models.feedback,
        },
        "images": len(images),
        "raw": raw,
        "lds": _answer(certificate),
        "normalised": normalised,
        "spectra": spectra,
        "fixed_points": fixed,
        "guarantee": guarantee(model, trajectory),
        "balance": _balance(trajectory, blocks),
        "game": _game(trajectory, blocks, core),
        "dale": asdict(audit := dale_audit(model, last)) | {"broken_by": audit.broken_by},
    }, certificate


def raw_weights(blocks: RecurrentBlocks, core: CoreConfig) -> tuple[dict[str, Any], Certificate]:
    """Return what is true of the raw weights alone, and the LDS certificate of W_eff."""
    w = blocks.effective()
    alpha = per_neuron(w.new_tensor([[core.alpha_e, core.alpha_i]]), core.n_e, core.neurons)[0]
    excitatory = isolated_excitatory(blocks.ee, core.alpha_e)
    inhibitory = isolated_inhibitory(blocks.ii, core.alpha_i)
    certificate = certify(w)
    continuous = alpha[:, None] / core.dt * (w - torch.eye(len(w), dtype=w.dtype))
    return {
        "isolated_e": asdict(excitatory) | {"stable": excitatory.stable},
        "isolated_i": asdict(inhibitory) | {"stable": inhibitory.stable},
        "perron": {"ee": spectral_radius(blocks.ee), "ii": spectral_radius(blocks.ii)},
        "perron_estimate": {name: float(perron_estimate(getattr(blocks, name), 20)) for name in ("ee", "ii")},
        "sigma_max": {name: float(torch.linalg.matrix_norm(b, ord=2)) for name, b in blocks._asdict().items()},
        "cheap_test": cheap_test(w),
        "step_bound_ms": step_bound(continuous),
        "lds_of_the_euler_map": _answer(certify_step(w, alpha)),
    }, certificate


def _answer(certificate: Certificate) -> dict[str, Any]:
    return {"answer": certificate.answer, "margin": certificate.margin, "reason": certificate.reason}


def spread_ticks(ticks: int, count: int = SPECTRA) -> list[int]:
    """Return ticks (0-based) spread over a thought, the first and the last among them."""
    return sorted({round(k * (ticks - 1) / max(1, count - 1)) for k in range(count)})


def normalised_weights(model: Thinker, trajectory: Trajectory, ticks: Sequence[int]) -> dict[str, Any]:
    """Return Perron eigenvalues and LDS answers of W̃ at the states met: of the function, not of the gauge."""
    matrices = normalised_matrices(model, [trajectory.states[tick] for tick in ticks])
    n_e = tide_cell(model).config.n_e
    rows = []
    for place, tick in enumerate(ticks):
        perron = [spectral_radius(w[:n_e, :n_e]) for w in matrices[:, place]]
        answers = [certify(w).answer for w in matrices[:, place]]
        rows.append(
            {
                "tick": tick + 1,
                "perron_ee_least": min(perron),
                "perron_ee_most": max(perron),
                **{answer: answers.count(answer) for answer in ("proved", "refuted", "unknown")},
            }
        )
    return {"states": matrices.shape[0] * len(ticks), "per_tick": rows}


def spectra_at(model: Thinker, trajectory: Trajectory, ticks: Sequence[int]) -> dict[str, Any]:
    """Return eigenvalues of the tick's Jacobian (view ``rates``) on all images, of the wider views on the first."""
    rows = []
    for tick in ticks:
        state = trajectory.states[tick]
        values = [Tick(model, state.rows(torch.tensor([b])), "rates").eigenvalues() for b in range(len(state.rates))]
        radii = [float(v.abs().max()) for v in values]
        shown = torch.view_as_real(values[0]).tolist()
        rows.append({"tick": tick + 1, "radius_least": min(radii), "radius_most": max(radii), "eigenvalues": shown})
    first = trajectory.states[ticks[-1]].rows(torch.tensor([0]))
    wider = {}
    for view in ("core", "whole"):
        values_of_view = Tick(model, first, view).eigenvalues(leading=6)
        wider[view] = {
            "radius": float(values_of_view.abs().max()),
            "leading": torch.view_as_real(values_of_view).tolist(),
        }
    return {"rates": rows, "last_tick": ticks[-1] + 1, **wider}


def fixed_points(model: Thinker, trajectory: Trajectory) -> dict[str, Any]:
    """Search fixed points of the first image's core, attention held as at the last tick, and follow trajectories."""
    state = trajectory.states[-1].rows(torch.tensor([0]))
    held = HeldCore(model, state)
    here = state.rates[0]
    generator = torch.Generator().manual_seed(0)
    scale = 2 * float(here.mean())
    starts = [here, torch.zeros_like(here)] + [
        scale * torch.rand(len(here), generator=generator, dtype=here.dtype) for _ in range(2)
    ]
    found = held.find(starts)
    target = found[0].rates if found else here
    paths = [held.approach(start, target, APPROACH_TICKS) for start in starts]
    return {
        "starts": len(starts),
        "found": [
            {"residual": f.residual, "starts": f.starts, "radius": f.radius, "attracts": f.attracts} for f in found
        ],
        "trajectories": [
            {
                "last_change": path.last_change,
                "rate": path.rate,
                "distances": [float(value) for value in path.distances[:: max(1, APPROACH_TICKS // 60)]],
            }
            for path in paths
        ],
        "ticks_followed": APPROACH_TICKS,
    }


def guarantee(model: Thinker, trajectory: Trajectory) -> dict[str, Any]:
    """Return what ``core.guarantee`` certifies, what that covers, and measurements of what it does not."""
    core, state = tide_cell(model).config, trajectory.states[-1].rows(torch.tensor([0]))
    start = state.rates[0]
    met = meeting(model, state, start, torch.zeros_like(start))
    gains = correction_gains(model, state)
    return {
        "kind": core.guarantee,
        "certified_rate": met.certified,
        "covers_the_core_as_run": core.guarantee == "contraction" and not core.neuron_models.feedback,
        "worst_tick_in_its_norm": met.worst,
        "mean_factor_per_tick": met.factor,
        "distances": met.distances[:: max(1, len(met.distances) // 60)].tolist(),
        "lateral_lipschitz_bound": lateral_bound(model),
        "correction_gain_mean": float(gains.mean()) if gains is not None else None,
        "correction_gain_most": float(gains.max()) if gains is not None else None,
    }


def _balance(trajectory: Trajectory, blocks: RecurrentBlocks) -> dict[str, Any]:
    index = balance_index(trajectory.rates[-1], blocks)
    found = regime(trajectory.rates, blocks)
    return {
        "mean_index": float(index.mean()),
        "share_under_a_tenth": float((index < 0.1).double().mean()),
        **asdict(found),
        "inhibition_dominated": found.inhibition_dominated,
    }


def _game(trajectory: Trajectory, blocks: RecurrentBlocks, core: CoreConfig) -> dict[str, Any]:
    report = game_report(trajectory.rates, trajectory.drive, blocks, core.activation)
    return {
        "nash_residual": report.nash_residual.tolist(),
        "falling": report.falling.tolist(),
        "h_e": report.h_e,
        "h_i": report.h_i,
        "most_rising_neurons": report.rising_neurons[:5].tolist(),
    }

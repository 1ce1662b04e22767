"""Everything that can be said of a TIDE network's stability, gathered, and in words and tables.

Raw weights and the function that they compute are kept apart throughout: under norm ``rms`` the first say nothing of
the second (the scale gauge, :mod:`tide.analysis.matrices`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from tide.analysis.fixed_points import HeldCore, correction_gains, lateral_bound, meeting
from tide.analysis.game import balance_index, game_report, regime
from tide.analysis.jacobian import Tick, dale_audit
from tide.analysis.lyapunov import Certificate, certify, certify_step, cheap_test
from tide.analysis.matrices import (
    isolated_excitatory,
    isolated_inhibitory,
    normalised_matrices,
    spectral_radius,
    step_bound,
)
from tide.analysis.states import Trajectory, follow, tide_cell
from tide.config import CoreConfig
from tide.files import number, table
from tide.models.thinker import Thinker
from tide.nn.constraints import RecurrentBlocks
from tide.nn.dynamics import per_neuron, perron_estimate

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
        values = [
            Tick(model, state.rows(torch.tensor([b])), "rates").eigenvalues() for b in range(len(state.state.rates))
        ]
        radii = [float(v.abs().max()) for v in values]
        rows.append(
            {
                "tick": tick + 1,
                "radius_least": min(radii),
                "radius_most": max(radii),
                "eigenvalues": torch.view_as_real(values[0]).tolist(),
            }
        )
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
    moment = trajectory.states[-1].rows(torch.tensor([0]))
    core = HeldCore(model, moment)
    here = moment.state.rates[0]
    generator = torch.Generator().manual_seed(0)
    scale = 2 * float(here.mean())
    starts = [here, torch.zeros_like(here)] + [
        scale * torch.rand(len(here), generator=generator, dtype=here.dtype) for _ in range(2)
    ]
    points = core.find(starts)
    target = points[0].rates if points else here
    paths = [core.approach(start, target, APPROACH_TICKS) for start in starts]
    return {
        "starts": len(starts),
        "found": [
            {"residual": f.residual, "starts": f.starts, "radius": f.radius, "attracts": f.attracts} for f in points
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
    start = state.state.rates[0]
    pair = meeting(model, state, start, torch.zeros_like(start))
    gains = correction_gains(model, state)
    return {
        "kind": core.guarantee,
        "certified_rate": pair.certified,
        "covers_the_core_as_run": core.guarantee == "contraction" and not core.neuron_models.feedback,
        "worst_tick_in_its_norm": pair.worst,
        "mean_factor_per_tick": pair.factor,
        "distances": pair.distances[:: max(1, len(pair.distances) // 60)].tolist(),
        "lateral_lipschitz_bound": lateral_bound(model),
        "correction_gain_mean": float(gains.mean()) if gains is not None else None,
        "correction_gain_most": float(gains.max()) if gains is not None else None,
    }


def _balance(trajectory: Trajectory, blocks: RecurrentBlocks) -> dict[str, Any]:
    index = balance_index(trajectory.rates[-1], blocks)
    network = regime(trajectory.rates, blocks)
    return {
        "mean_index": float(index.mean()),
        "share_under_a_tenth": float((index < 0.1).double().mean()),
        **asdict(network),
        "inhibition_dominated": network.inhibition_dominated,
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


# The stability analysis in words and tables. It never says stable where that is not proved.


VERDICTS = {"proved": "is", "refuted": "is not", "unknown": "is not known to be"}


def sentences(result: Mapping[str, Any]) -> tuple[str, str]:
    """Return two plain sentences: what is true of the raw weights, and of the function on the images it met."""
    lds, core, spectra = result["lds"], result["core"], result["spectra"]
    gauge = (
        "; under norm rms this is a property of the weights and not of the function that they compute"
        if core["norm"] == "rms"
        else ""
    )
    verdict = VERDICTS[lds["answer"]]
    first = f"On its raw weights the network {verdict} Lyapunov diagonally stable ({lds['reason']}){gauge}."
    if result["guarantee"]["kind"] != "none":
        first += f" {_guarantee_in_words(result['guarantee'])}"
    normalised = result["normalised"]["per_tick"]
    proved = sum(row["proved"] for row in normalised)
    radius = max(spectra["core"]["radius"], spectra["whole"]["radius"])
    grows = "some small differences would grow" if radius >= 1 else "small differences would die out"
    second = (
        f"At {proved} of the {result['normalised']['states']} states met the normalised weights are Lyapunov "
        f"diagonally stable; at the last tick the whole tick's Jacobian has spectral radius {radius:.4f}: were that "
        f"tick repeated, {grows}, which says nothing of other states; {_fixed_points_in_words(result['fixed_points'])}."
    )
    return first, second


def _fixed_points_in_words(fixed: Mapping[str, Any]) -> str:
    points, paths = fixed["found"], fixed["trajectories"]
    arrived = sum(path["rate"] is not None for path in paths)
    if not points:
        settled = sum(path["last_change"] < 1e-6 for path in paths)
        what = f"{settled} of {len(paths)} trajectories come to rest" if settled else "no trajectory comes to rest"
        return f"with the input held no fixed point was found from {fixed['starts']} starts, and {what}"
    attracting = sum(point["attracts"] for point in points)
    several = "1 fixed point was" if len(points) == 1 else f"{len(points)} fixed points were"
    return (
        f"with the input held {several} found, {attracting} of them attracting, and {arrived} of {len(paths)} "
        "trajectories arrive at the first"
    )


def _guarantee_in_words(guarantee: Mapping[str, Any]) -> str:
    rate = f"{guarantee['certified_rate']:.5f} per tick"
    if guarantee["covers_the_core_as_run"]:
        return f"Its guarantee proves that the core, with the attention held, contracts by {rate} for every input."
    if guarantee["kind"] == "contraction":
        return (
            f"Its guarantee proves contraction by {rate} of the core without the feedback of the neuron-level models, "
            "which this run has: it does not cover what runs."
        )
    return f"Its guarantee proves contraction by {rate} of the linear Euler map, not of activation and norm."


BLOCK_QUANTITIES = ("sigma_max", "perron", "perron_estimate")


def markdown(result: Mapping[str, Any], name: str) -> str:
    """Return the report as Markdown."""
    raw, core, spectra = result["raw"], result["core"], result["spectra"]
    isolated_e, isolated_i, euler = raw["isolated_e"], raw["isolated_i"], raw["lds_of_the_euler_map"]
    conditions = [
        ("E alone: λ_P(W_EE)", number(isolated_e["value"], ".4f"), "< 1", _yes(isolated_e["stable"])),
        (
            "I alone: max α\\|1 + λ\\|²/(2(1 + Re λ))",
            number(isolated_i["value"], ".4f"),
            "< 1",
            _yes(isolated_i["stable"]),
        ),
        (
            "I alone, the paper's: λ_P(W_II) (necessary only)",
            number(isolated_i["perron"], ".4f"),
            f"< {isolated_i['paper_bound']:.4g}",
            _yes(isolated_i["perron"] < isolated_i["paper_bound"]),
        ),
        (
            "cheap LDS test: λ_max(½(W + Wᵀ)) (sufficient only)",
            number(raw["cheap_test"], ".4f"),
            "< 1",
            _yes(raw["cheap_test"] < 1),
        ),
        ("Euler step of the coupled linear system, ms", _step(raw["step_bound_ms"]), "", ""),
    ]
    blocks = [
        (f"W_{block.upper()}", *(number(raw[what].get(block), ".4f") for what in BLOCK_QUANTITIES))
        for block in raw["sigma_max"]
    ]
    ticks = [
        (
            weights["tick"],
            f"{weights['perron_ee_least']:.3f} to {weights['perron_ee_most']:.3f}",
            f"{weights['proved']} / {weights['refuted']} / {weights['unknown']}",
            f"{jacobian['radius_least']:.4f} to {jacobian['radius_most']:.4f}",
        )
        for weights, jacobian in zip(result["normalised"]["per_tick"], spectra["rates"], strict=True)
    ]
    points = [
        (place, f"{point['residual']:.1e}", point["starts"], f"{point['radius']:.4f}")
        for place, point in enumerate(result["fixed_points"]["found"], 1)
    ]
    balance, game, dale, guarantee = (result[part] for part in ("balance", "game", "dale", "guarantee"))
    lines = [
        f"# Stability of {name}",
        "",
        *(f"{sentence}\n" for sentence in sentences(result)),
        f"{core['neurons'][0]} E + {core['neurons'][1]} I neurons, norm {core['norm']}, {core['ticks']} ticks, "
        f"{result['images']} images.",
        "",
        "## Raw weights",
        "",
        *table(("condition", "value", "bound", "holds"), conditions),
        "",
        *table(("block", "σ_max", "Perron eigenvalue", "Perron estimate"), blocks),
        "",
        f"Lyapunov diagonal stability, continuous time: **{result['lds']['answer']}** ({result['lds']['reason']}; "
        f"margin {result['lds']['margin']:.3g}). Euler map (MᵀPM ≺ P): **{euler['answer']}** ({euler['reason']}; "
        f"margin {euler['margin']:.3g}).",
        "",
        "## The function: normalised weights W̃ and Jacobians at states met",
        "",
        *table(("tick", "λ_P(W̃_EE)", "LDS proved / refuted / unknown", "spectral radius of ∂r/∂r"), ticks),
        "",
        f"Tick {spectra['last_tick']}, first image: spectral radius {spectra['core']['radius']:.4f} with the history "
        f"of the neuron-level models, {spectra['whole']['radius']:.4f} with the attention too.",
        "",
        "## Fixed points, input held",
        "",
        f"{_capital(_fixed_points_in_words(result['fixed_points']))}.",
        "",
        *table(("fixed point", "residual", "starts", "spectral radius"), points),
        "",
        "## Trajectories started apart, input held",
        "",
        f"Mean factor per tick by which their distance changes: {guarantee['mean_factor_per_tick']:.5f}. "
        f"Guarantee: {guarantee['kind']}{_certified(guarantee)}. Lipschitz bound of the lateral inhibition: "
        f"{guarantee['lateral_lipschitz_bound']:.3f}; gain of the corrections over the history: mean "
        f"{number(guarantee['correction_gain_mean'], '.4f')}, greatest "
        f"{number(guarantee['correction_gain_most'], '.4f')}.",
        "",
        "## Balance, game, Dale",
        "",
        f"Balance index |c_E − c_I|/(c_E + c_I): mean {balance['mean_index']:.3f}; g = {balance['g']:.2f}, inhibition "
        f"dominates above {balance['threshold']:.2f}: {_yes(balance['inhibition_dominated'])}. Asynchrony χ²: E "
        f"{number(balance['asynchrony_e'], '.4f')}, I {number(balance['asynchrony_i'], '.4f')}.",
        "",
        f"Game on raw weights: Nash residual {game['nash_residual'][0]:.3g} at the first tick, "
        f"{game['nash_residual'][-1]:.3g} at the last; H_E = {game['h_e']:.3f}"
        f"{' (below 0: no mean-field equilibrium)' * (game['h_e'] < 0)}, H_I = {game['h_i']:.3f}.",
        "",
        f"Influences with Dale's sign after the whole tick: {100 * list(dale['excitatory'].values())[-1]:.1f} % of "
        f"∂r_E/∂r_E, {100 * list(dale['inhibitory'].values())[-1]:.1f} % of ∂r/∂r_I; first broken by: "
        f"{dale['broken_by'] or 'nothing'}.",
    ]
    return "\n".join(lines) + "\n"


def _certified(guarantee: Mapping[str, Any]) -> str:
    if guarantee["certified_rate"] is None:
        return ""
    return (
        f", certified {guarantee['certified_rate']:.5f}, worst single tick in its norm "
        f"{guarantee['worst_tick_in_its_norm']:.5f}"
    )


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _step(value: float) -> str:
    return f"below {value:.4g}" if value > 0 else "none: not Hurwitz"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]

"""The stability analysis in words and tables. It never says stable where that is not proved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SAID = {"proved": "is", "refuted": "is not", "unknown": "is not known to be"}


def sentences(result: Mapping[str, Any]) -> tuple[str, str]:
    """Return two plain sentences: what is true of the raw weights, and of the function on the images it met."""
    lds, core, spectra = result["lds"], result["core"], result["spectra"]
    gauge = (
        "; under norm rms this is a property of the weights and not of the function that they compute"
        if core["norm"] == "rms"
        else ""
    )
    first = f"On its raw weights the network {SAID[lds['answer']]} Lyapunov diagonally stable ({lds['reason']}){gauge}."
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
    found, paths = fixed["found"], fixed["trajectories"]
    arrived = sum(path["rate"] is not None for path in paths)
    if not found:
        settled = sum(path["last_change"] < 1e-6 for path in paths)
        what = f"{settled} of {len(paths)} trajectories come to rest" if settled else "no trajectory comes to rest"
        return f"with the input held no fixed point was found from {fixed['starts']} starts, and {what}"
    attracting = sum(point["attracts"] for point in found)
    points = "1 fixed point was" if len(found) == 1 else f"{len(found)} fixed points were"
    return (
        f"with the input held {points} found, {attracting} of them attracting, and {arrived} of {len(paths)} "
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


def markdown(result: Mapping[str, Any], name: str) -> str:
    """Return the report as Markdown."""
    raw, core, spectra = result["raw"], result["core"], result["spectra"]
    isolated_e, isolated_i = raw["isolated_e"], raw["isolated_i"]
    lines = [
        f"# Stability of {name}",
        "",
        *(f"{sentence}\n" for sentence in sentences(result)),
        f"{core['neurons'][0]} E + {core['neurons'][1]} I neurons, norm {core['norm']}, {core['ticks']} ticks, "
        f"{result['images']} images.",
        "",
        "## Raw weights",
        "",
        "| condition | value | bound | holds |",
        "|---|---|---|---|",
        f"| E alone: λ_P(W_EE) | {isolated_e['value']:.4f} | < 1 | {_yes(isolated_e['stable'])} |",
        f"| I alone: max α\\|1 + λ\\|²/(2(1 + Re λ)) | {isolated_i['value']:.4f} | < 1 | "
        f"{_yes(isolated_i['stable'])} |",
        f"| I alone, the paper's: λ_P(W_II) (necessary only) | {isolated_i['perron']:.4f} | "
        f"< {isolated_i['paper_bound']:.4g} | {_yes(isolated_i['perron'] < isolated_i['paper_bound'])} |",
        f"| cheap LDS test: λ_max(½(W + Wᵀ)) (sufficient only) | {raw['cheap_test']:.4f} | < 1 | "
        f"{_yes(raw['cheap_test'] < 1)} |",
        f"| Euler step of the coupled linear system, ms | {_step(raw['step_bound_ms'])} | | |",
        "",
        "| block | σ_max | Perron eigenvalue | Perron estimate |",
        "|---|---|---|---|",
    ]
    for block, sigma in raw["sigma_max"].items():
        perron, estimate = raw["perron"].get(block), raw["perron_estimate"].get(block)
        shown = f"{perron:.4f} | {estimate:.4f}" if perron is not None else "- | -"
        lines.append(f"| W_{block.upper()} | {sigma:.4f} | {shown} |")
    euler = raw["lds_of_the_euler_map"]
    lines += [
        "",
        f"Lyapunov diagonal stability, continuous time: **{result['lds']['answer']}** ({result['lds']['reason']}; "
        f"margin {result['lds']['margin']:.3g}). Euler map (MᵀPM ≺ P): **{euler['answer']}** ({euler['reason']}; "
        f"margin {euler['margin']:.3g}).",
        "",
        "## The function: normalised weights W̃ and Jacobians at states met",
        "",
        "| tick | λ_P(W̃_EE) | LDS proved / refuted / unknown | spectral radius of ∂r/∂r |",
        "|---|---|---|---|",
    ]
    for weights, jacobian in zip(result["normalised"]["per_tick"], spectra["rates"], strict=True):
        lines.append(
            f"| {weights['tick']} | {weights['perron_ee_least']:.3f} to {weights['perron_ee_most']:.3f} | "
            f"{weights['proved']} / {weights['refuted']} / {weights['unknown']} | {jacobian['radius_least']:.4f} to "
            f"{jacobian['radius_most']:.4f} |"
        )
    balance, game, dale, guarantee = (result[part] for part in ("balance", "game", "dale", "guarantee"))
    lines += [
        "",
        f"Tick {spectra['last_tick']}, first image: spectral radius {spectra['core']['radius']:.4f} with the history "
        f"of the neuron-level models, {spectra['whole']['radius']:.4f} with the attention too.",
        "",
        "## Fixed points, input held",
        "",
        f"{_capital(_fixed_points_in_words(result['fixed_points']))}.",
        "",
        "| fixed point | residual | starts | spectral radius |",
        "|---|---|---|---|",
        *(
            f"| {index + 1} | {point['residual']:.1e} | {point['starts']} | {point['radius']:.4f} |"
            for index, point in enumerate(result["fixed_points"]["found"])
        ),
        "",
        "## Trajectories started apart, input held",
        "",
        f"Mean factor per tick by which their distance changes: {guarantee['mean_factor_per_tick']:.5f}. "
        f"Guarantee: {guarantee['kind']}{_certified(guarantee)}. Lipschitz bound of the lateral inhibition: "
        f"{guarantee['lateral_lipschitz_bound']:.3f}; gain of the corrections over the history: mean "
        f"{_number(guarantee['correction_gain_mean'])}, greatest {_number(guarantee['correction_gain_most'])}.",
        "",
        "## Balance, game, Dale",
        "",
        f"Balance index |c_E − c_I|/(c_E + c_I): mean {balance['mean_index']:.3f}; g = {balance['g']:.2f}, inhibition "
        f"dominates above {balance['threshold']:.2f}: {_yes(balance['inhibition_dominated'])}. Asynchrony χ²: E "
        f"{_number(balance['asynchrony_e'])}, I {_number(balance['asynchrony_i'])}.",
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


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]

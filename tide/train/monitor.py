"""The stability monitor: what the dynamics look like during training, and when to raise an alarm (equations §5)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from statistics import median
from typing import Any

import torch
from torch import Tensor

from tide.config import OutputConfig
from tide.evaluate.answers import read_hedging
from tide.losses import tick_losses
from tide.models.heads import read_answers, share_right
from tide.models.thinker import Thinker
from tide.nn.constraints import RecurrentBlocks
from tide.nn.dynamics import perron_estimate
from tide.train.step import MicroBatch, component_parameters, gradient_norm
from tide.types import Dynamics

SILENT_RATE = 1e-6
WINDOW = 10  # readings of the rolling median
GROWING = 3  # readings in a row that count as "keeps growing"
EXCESS = 1.5  # times the median
COLLAPSE = 10.0  # factor by which the E-I ratio is off target when a population collapses
SILENT_SHARE = 0.9  # of a population, the other sign of its collapse


@torch.no_grad()
def spectral_quantities(blocks: RecurrentBlocks, iterations: int) -> dict[str, float]:
    """Return Perron estimates, σ_max of the four blocks, and the cheap LDS test λ_max(½(W_eff + W_effᵀ)) < 1."""
    quantities = {
        "perron_ee": perron_estimate(blocks.ee, iterations),
        "perron_ii": perron_estimate(blocks.ii, iterations),
    }
    for name, block in blocks._asdict().items():
        quantities[f"sigma_{name}"] = torch.linalg.matrix_norm(block, ord=2)
    effective = blocks.effective()
    quantities["lds_lambda_max"] = torch.linalg.eigvalsh(0.5 * (effective + effective.T))[-1]
    return {name: float(value) for name, value in quantities.items()}


@torch.no_grad()
def activity_quantities(dynamics: Dynamics, ratio: Tensor, n_e: int) -> dict[str, float]:
    """Return rates, silent shares, lateral iterations and memory of one training batch, ``ratio`` (B, T)."""
    rates = dynamics.rates.detach()
    silent = (rates < SILENT_RATE).all(0).float()
    quantities = {
        "rate_max": rates.max(),
        "rate_e": rates[:, :n_e].mean(),
        "rate_i": rates[:, n_e:].mean(),
        "silent_e": silent[:n_e].mean(),
        "silent_i": silent[n_e:].mean(),
        "ei_ratio": ratio.mean(),
        "lateral_iterations": dynamics.lateral_iterations.mean(),
    }
    if dynamics.recall is not None:
        quantities |= {"surprise": dynamics.recall.surprise.mean(), "gate": dynamics.recall.gate.mean()}
    return {name: float(value) for name, value in quantities.items()}


@torch.no_grad()
def answer_quantities(batch: MicroBatch, output: OutputConfig) -> dict[str, float]:
    """Return how far the ticks hedge on one training batch."""
    # On the CPU: means are taken in float64, which some devices lack.
    logits, certainty, labels = (part.detach().cpu() for part in (*batch.out.answers(), batch.labels))
    answer = read_answers(logits, certainty, output)
    correct = share_right(answer.classes, labels)
    hedging = read_hedging(tick_losses(logits, labels, output), answer.certainty, correct)
    return {name: float(value) for name, value in hedging._asdict().items()}


def gradient_quantities(model: Thinker) -> dict[str, float]:
    """Return the gradient norm of each component, and of what the cell wants probed (the memory's heads and gate)."""
    groups: dict[str, list[Tensor]] = component_parameters(model)
    named = list(model.cell.named_parameters())
    for name, prefix in model.cell.probes.items():
        groups[name] = [parameter for path, parameter in named if path.startswith(prefix)]
    return {f"gradient_{name}": float(gradient_norm(members)) for name, members in groups.items()}


class StabilityMonitor:
    """Reads the network every so many steps and raises alarms.

    An alarm is raised when σ_max of an off-diagonal block keeps growing above its rolling median, and when a
    population collapses: then it names the population that falls silent. Each is raised when it begins, and again
    only after it had ended. A model without excitatory and inhibitory populations has gradients and readings of
    hedging only, and no alarms.
    """

    def __init__(self, model: Thinker, iterations: int) -> None:
        self._model, self._iterations = model, iterations
        self._history: dict[str, list[float]] = {"sigma_ei": [], "sigma_ie": []}
        self._ringing: list[str] = []

    def read(self, batch: MicroBatch) -> tuple[dict[str, float], list[str]]:
        """Return all quantities and the texts of the alarms that begin, from the last batch and its gradients."""
        quantities = answer_quantities(batch, self._model.config.output) | gradient_quantities(self._model)
        blocks, dynamics, ratio = self._model.cell.blocks(), batch.out.dynamics, batch.out.ei_ratio
        if blocks is None or dynamics is None or ratio is None:
            return quantities, []
        quantities |= spectral_quantities(blocks, self._iterations)
        rate = self._model.cell.certified_rate()
        if rate is not None:
            quantities["certified_rate"] = rate
        quantities |= activity_quantities(dynamics, ratio, blocks.ee.shape[0])
        return quantities, self.alarms(quantities, dynamics.ratio_target)

    def alarms(self, quantities: Mapping[str, float], ratio_target: float) -> list[str]:
        """Return the texts of the alarms that begin with a reading."""
        now = self._growth(quantities) | collapse_alarms(quantities, ratio_target)
        begun = [text for name, text in now.items() if name not in self._ringing]
        self._ringing = list(now)
        return begun

    def _growth(self, quantities: Mapping[str, float]) -> dict[str, str]:
        alarms = {}
        for name, history in self._history.items():
            value = quantities[name]
            recent = [*history, value][-GROWING - 1 :]
            grows = len(recent) > GROWING and all(a < b for a, b in pairwise(recent))
            if grows and value > EXCESS * median(history):
                block = name.removeprefix("sigma_").upper()
                alarms[name] = f"sigma_max of W_{block} keeps growing: {value:.2f}, median {median(history):.2f}"
            history.append(value)
            del history[:-WINDOW]
        return alarms

    def state_dict(self) -> dict[str, Any]:
        """Return the readings that the rolling median needs, and the alarms that ring."""
        return {"history": {name: list(values) for name, values in self._history.items()}, "ringing": self._ringing}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        self._history = {name: list(state["history"][name]) for name in self._history}
        self._ringing = list(state["ringing"])


def collapse_alarms(quantities: Mapping[str, float], ratio_target: float) -> dict[str, str]:
    """Return an alarm for each population that falls silent: E when the E-I ratio goes to 0, I when it explodes."""
    ratio = quantities["ei_ratio"]
    off = {"E": ratio < ratio_target / COLLAPSE, "I": ratio > ratio_target * COLLAPSE}
    names = {"E": "excitatory", "I": "inhibitory"}
    alarms = {}
    for population, name in names.items():
        share = quantities[f"silent_{population.lower()}"]
        if off[population] or share > SILENT_SHARE:
            alarms[name] = (
                f"the {name} population falls silent: E-I ratio {ratio:.3g} (target {ratio_target:g}), "
                f"{100 * share:.0f} % of {population} neurons silent"
            )
    return alarms

"""TIDE's cell in the native loop: what :class:`tide.models.tide.TideCell` does tick by tick, in one call."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tide.models.cell import Cell
from tide.models.observers import Collector, Halter
from tide.models.tide import TideCell, TideState
from tide.native.call import LoopStart, LoopWeights, Plan, gather_weights, make_plan
from tide.native.library import Library
from tide.native.loop import LoopOutcome, Panels, run_loop
from tide.nn.attention import CrossAttention
from tide.nn.dynamics import RATIO_EPSILON, WilsonCowan
from tide.nn.lateral import LateralInhibition
from tide.nn.neuron_models import NeuronModels
from tide.nn.synchrony import Synchronisation


class LastTick(NamedTuple):
    """What losses read of the last tick, (B, D) each, as in :class:`tide.models.tide.TideFeatures`."""

    rates: Tensor
    activation: Tensor
    drive: Tensor


AHEAD = 4  # halting runs at most so many ticks before it looks at the certainty: one for every so many that are done

OBSERVED = ("latent", "ei_ratio", "sync_power", "lateral_iterations")  # what the loop returns of every tick

PARTS: dict[str, type[nn.Module]] = {
    "attention": CrossAttention,
    "wilson_cowan": WilsonCowan,
    "lateral": LateralInhibition,
    "neuron_models": NeuronModels,
    "synchronisation": Synchronisation,
}


def is_as_written(cell: Cell, like: Tensor) -> bool:
    """Whether a tick of ``cell`` is TIDE's own, on the device and in the type of ``like``.

    It is not where a part is replaced, overridden or watched by a hook.
    """
    if type(cell) is not TideCell or _is_changed(cell):
        return False
    if any(p.dtype != like.dtype or p.device != like.device for p in cell.parameters()):
        return False
    for name, kind in PARTS.items():
        part: nn.Module | None = getattr(cell, name)
        if part is None:
            continue
        if type(part) is not kind or any(_is_changed(module) for module in part.modules()):
            return False
    return True


def _is_changed(module: nn.Module) -> bool:
    hooks = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    kind: Any = type(module)
    return bool(hooks) or not _methods(kind).isdisjoint(vars(module))


@cache
def _methods(kind: Any) -> frozenset[str]:
    return frozenset(name for name in dir(kind) if callable(getattr(kind, name)))


def run_native(
    library: Library, cell: TideCell, state: TideState, observer: Collector | Halter, ticks: int
) -> TideState | None:
    """Run ticks and show them to the observer; return the state after them, None where nobody goes on."""
    if isinstance(observer, Halter):
        _halt(library, cell, state, observer, ticks)
        return None  # nothing follows the last tick of a halter
    scale, normalizer = _scales(state, ticks)
    outcome = run_loop(library, _plan(cell), _weights(cell, state), _start(cell, state, torch.stack(scale)))
    dynamics = state.weights.dynamics
    last = LastTick(
        rates=outcome.euler,
        activation=torch.relu(outcome.preactivation),
        drive=torch.addmm(dynamics.bias, outcome.attended, dynamics.input),
    )
    observer.take(_observed(cell, outcome), last)
    return state._replace(
        rates=outcome.rates,
        history=outcome.history if cell.neuron_models is not None else state.history,
        synchrony=state.synchrony._replace(products=outcome.products, normalizer=normalizer),
        latent=outcome.latent[:, -1],
    )


def _halt(library: Library, cell: TideCell, state: TideState, halter: Halter, ticks: int) -> None:
    """Run some ticks, read them out, let go whoever has its answer, and so on."""
    scale, _ = _scales(state, ticks)
    panels = Panels(library, _plan(cell), _weights(cell, state), _start(cell, state, torch.stack(scale)))
    done = 0
    while done < ticks:
        # Together, ticks cost less than one by one; whoever finds an answer on the way has run a few too many.
        stretch = min(max(1, min(AHEAD, done // AHEAD)), ticks - done)
        outcome = panels.advance(stretch)
        done += stretch
        keep = halter.read(_observed(cell, outcome))
        if len(keep) == 0:
            return
        if len(keep) < len(outcome.latent):
            panels.keep(keep)


def _plan(cell: TideCell) -> Plan:
    assert cell.attention is not None
    # The lateral inhibition's own mode: it alone of what the loop runs differs between training and eval.
    return make_plan(cell.config, cell.attention, cell.synchronisation, training=cell.lateral.training)


def _weights(cell: TideCell, state: TideState) -> LoopWeights:
    weights = state.weights
    assert cell.attention is not None
    return gather_weights(
        cell.attention,
        weights.dynamics,
        weights.lateral,
        weights.neuron_models,
        cell.synchronisation,
        weights.retention,
    )


def _start(cell: TideCell, state: TideState, scale: Tensor) -> LoopStart:
    history = state.history if cell.neuron_models is not None else state.history.new_empty(0)
    return LoopStart(state.keys, state.values, state.rates, history, state.synchrony.products, state.latent, scale)


def _scales(state: TideState, ticks: int) -> tuple[list[Tensor], Tensor]:
    """Return 1/√N (P,) of each tick, and N after the last."""
    normalizer, retention = state.synchrony.normalizer, state.weights.retention
    scale, ones = [], torch.ones_like(retention)
    for _ in range(ticks):
        normalizer = torch.addcmul(ones, normalizer, retention)
        scale.append(normalizer.rsqrt())
    return scale, normalizer


def _observed(cell: TideCell, outcome: LoopOutcome) -> dict[str, Tensor]:
    """Return what the read-out needs, stacked over ticks."""
    core = cell.config
    sums_e, sums_i = outcome.sums.unbind(-1)
    if core.ratio_normalization == "per_neuron":
        sums_e, sums_i = sums_e / core.n_e, sums_i / core.n_i
    return {
        "latent": outcome.latent,
        "ei_ratio": sums_e / (sums_i + RATIO_EPSILON),
        "sync_power": outcome.power,
        "lateral_iterations": outcome.iterations,
    }

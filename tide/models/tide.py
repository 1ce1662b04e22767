"""TIDE's cell: one tick of the excitatory-inhibitory core (equations §2); and the one place that reads its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, NamedTuple, cast

import torch
from torch import Tensor

from tide.config import CoreConfig, register
from tide.models.cell import Observable, ReadingCell, ReadingContext, Readout, State
from tide.models.heads import OutputHead, skip_zero_rows
from tide.nn import (
    Batched,
    CrossAttention,
    LateralInhibition,
    MemoryState,
    NeuronModels,
    RecurrentBlocks,
    SurpriseMemory,
    Synchrony,
    SynchronyState,
    WilsonCowan,
    ei_ratio,
    push,
)
from tide.nn.dynamics import DynamicsWeights
from tide.nn.lateral import LateralWeights
from tide.nn.neuron_models import NeuronModelWeights
from tide.nn.weights import is_watched, refresh
from tide.types import Dynamics, Recall


class TickWeights(NamedTuple):
    """Weights composed once per forward pass and used by every tick."""

    dynamics: DynamicsWeights
    lateral: LateralWeights
    neuron_models: NeuronModelWeights | None
    retention: Tensor


class TideState(State):
    """What a tick hands to the next.

    ``rates`` (B, D), ``history`` (D, B, M), ``synchrony`` (B, P) and ``latent`` (B, d_z); the ``carry`` is the memory.
    """

    batch_dim: ClassVar = {"history": 1}

    rates: Tensor
    history: Tensor
    synchrony: SynchronyState
    latent: Tensor


class TideFeatures(NamedTuple):
    """Everything one tick computed; the loop keeps only what is asked for."""

    n_e: int
    ratio: Tensor
    rates: Tensor
    activation: Tensor
    preactivation: Tensor
    drive: Tensor
    inhibited: Tensor
    corrected: Tensor
    synchrony: Tensor
    latent: Tensor
    attention: Tensor
    lateral_iterations: Tensor


RECALLED = ("memory", "surprise", "gate", "reconstruction")
OBSERVABLES: Mapping[str, Observable] = {
    "rates_e": Observable(lambda f: f.rates[:, : f.n_e]),
    "rates_i": Observable(lambda f: f.rates[:, f.n_e :]),
    "preactivation_e": Observable(lambda f: f.preactivation[:, : f.n_e]),
    "preactivation_i": Observable(lambda f: f.preactivation[:, f.n_e :]),
    "inhibited_e": Observable(lambda f: f.inhibited),
    "corrected_e": Observable(lambda f: f.corrected[:, : f.n_e]),
    "corrected_i": Observable(lambda f: f.corrected[:, f.n_e :]),
    "ei_ratio": Observable(lambda f: f.ratio, "readout"),
    "synchrony": Observable(lambda f: f.synchrony),
    "sync_power": Observable(lambda f: f.synchrony.square().mean(1), "dynamics"),
    "latent": Observable(lambda f: f.latent, "readout"),
    "attention": Observable(lambda f: f.attention),
    "drive": Observable(lambda f: f.drive),
    "lateral_iterations": Observable(lambda f: f.lateral_iterations, "dynamics"),
    **dict.fromkeys(RECALLED, Observable(None)),
}
"""What can be recorded of a tick, from its :class:`TideFeatures`, and of the read-out."""


@register("core", CoreConfig)
class TideCell(ReadingCell):
    """Attention, Wilson-Cowan step, lateral inhibition, neuron-level models and synchronisation, in this order.

    The memory and the output head feed nothing back and run in :meth:`readout`.
    """

    components: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "attention": ("attention",),
        "dynamics": ("wilson_cowan", "lateral"),
        "neuron_models": ("neuron_models",),
        "synchrony": ("synchronisation", "memory"),
        "head": ("head",),
    }
    activity: ClassVar[Mapping[str, str]] = {"excitatory rates": "rates_e", "inhibitory rates": "rates_i"}
    steers: ClassVar[str] = "latent"
    probes: ClassVar[Mapping[str, str]] = {
        "memory_projection": "memory.project.",
        "memory_reconstruction": "memory.reconstruct.",
        "memory_gate": "memory.sharpness",
    }

    def __init__(self, core: CoreConfig, *, features: int, outputs: int, seed: int) -> None:
        """``features`` is the tokens' width d_kv; ``outputs`` how many logits a tick has; ``seed`` draws the pairs."""
        super().__init__()
        self.config = core
        n_e, n_i, memory, models, pairs = core.n_e, core.n_i, core.memory, core.neuron_models, core.synchrony
        latent, width, heads = 3 * pairs.width, core.attention.width, core.attention.heads
        self.inputs = width if core.attends else features
        self.attention = (
            CrossAttention(latent, features, width, heads, residual=core.attention.residual) if core.attends else None
        )
        self.wilson_cowan = WilsonCowan(
            core.neurons,
            self.inputs,
            e_fraction=core.excitatory_fraction,
            tau_e=core.tau_e,
            tau_i=core.tau_i,
            dt=core.dt,
            activation=core.activation,
            norm=core.norm,
            dale=core.dale,
            inhibition=core.inhibition,
            guarantee=core.guarantee,
            start_rates=core.start_rates,
            start=core.start,
            start_gain=core.start_gain,
        )
        self.lateral = LateralInhibition(
            n_e,
            n_i,
            iterations=core.lateral.iterations,
            strength=core.lateral.strength,
            tolerance=core.lateral.tolerance,
            dale=core.dale,
        )
        self.neuron_models = (
            NeuronModels(
                n_e,
                n_i,
                length=models.memory_length,
                hidden=models.hidden,
                tau_e=core.tau_e,
                tau_i=core.tau_i,
                dt=core.dt,
            )
            if models.enabled
            else None
        )
        self.synchronisation = Synchrony(
            n_e,
            n_i,
            pairs_ee=pairs.pairs_ee,
            pairs_ei=pairs.pairs_ei,
            pairs_ii=pairs.pairs_ii,
            width=pairs.width,
            typed=pairs.typed,
            clamp=pairs.clamp,
            norm_epsilon=pairs.norm_epsilon,
            time_scales=pairs.time_scales,
            seed=seed,
        )
        self.memory = (
            SurpriseMemory(
                latent,
                width=memory.width,
                ratio_target=core.ratio_target,
                scope=memory.scope,
                momentum=memory.momentum,
                rate=memory.rate,
                buffer_rate=memory.buffer_rate,
            )
            if memory.enabled
            else None
        )
        read = latent + (memory.width if memory.enabled else 0)
        self.head = OutputHead(read, core.head.hidden, outputs, core.head.dropout, core.head.norm_epsilon)

    @property
    def observables(self) -> Mapping[str, Observable]:
        """All of :data:`OBSERVABLES` but those of parts that are switched off."""
        left_out = ("attention",) * (self.attention is None) + RECALLED * (self.memory is None)
        return {name: observable for name, observable in OBSERVABLES.items() if name not in left_out}

    def compose(self) -> TickWeights:
        """Compose what every tick uses."""
        return TickWeights(
            self.wilson_cowan.compose(),
            self.lateral.compose(),
            self.neuron_models.compose() if self.neuron_models is not None else None,
            self.synchronisation.retention(),
        )

    def context(self, x: Tensor) -> ReadingContext:
        """Compose the weights, and attach the input."""
        return self.reading(x, self.compose(), self.config.attention.heads)

    def initial(self, batch: int) -> TideState:
        """Learned start rates, an empty history, S⁰ from the start rates, the memory's persistent buffers."""
        rates = self.wilson_cowan.initial(batch)
        synchrony = self.synchronisation.initial(rates)
        _, latent = self.synchronisation.read(synchrony)
        return TideState(
            rates=rates,
            history=rates.new_zeros(self.config.neurons, batch, self.config.neuron_models.memory_length),
            synchrony=synchrony,
            latent=latent,
            carry=self.memory.initial(batch) if self.memory is not None else None,
        )

    def step(self, context: ReadingContext, state: TideState) -> tuple[TideState, TideFeatures]:
        """Advance by one tick."""
        n_e, weights = self.config.n_e, context.weights
        attended = self.read(context, state.latent)
        euler = self.wilson_cowan(state.rates, attended.output, weights.dynamics)
        # The ratio is that of the dynamics: the lateral inhibition would shift it.
        ratio = ei_ratio(euler.rates, n_e, self.config.ratio_normalization)
        inhibited, iterations = self.lateral(euler.rates[:, :n_e], weights.lateral)
        post = torch.cat((inhibited, euler.rates[:, n_e:]), 1)
        history, corrected = state.history, post
        if self.neuron_models is not None and weights.neuron_models is not None:
            history = push(history, post)
            corrected = torch.relu(post + self.neuron_models(history, weights.neuron_models))
        synchrony_state = self.synchronisation(state.synchrony, corrected, weights.retention)
        synchrony, latent = self.synchronisation.read(synchrony_state)
        following = TideState(
            rates=corrected if self.config.neuron_models.feedback else euler.rates,
            history=history,
            synchrony=synchrony_state,
            latent=latent,
            carry=state.carry,
        )
        features = TideFeatures(
            n_e=n_e,
            ratio=ratio,
            rates=euler.rates,
            activation=euler.activation,
            preactivation=euler.preactivation,
            drive=euler.drive,
            inhibited=inhibited,
            corrected=corrected,
            synchrony=synchrony,
            latent=latent,
            attention=attended.weights,
            lateral_iterations=iterations,
        )
        return following, features

    @property
    def reads(self) -> tuple[str, ...]:
        """The head reads the latent state, and the memory where there is one."""
        return ("latent",) if self.memory is None else ("latent", "memory")

    def readout(self, observed: Mapping[str, Tensor], carry: Batched | None = None) -> Readout:
        """Memory and head over all given ticks at once; ``carry`` is the memory's state before them."""
        latent, ratio, memory = observed["latent"], observed["ei_ratio"], self.memory
        if memory is None:
            return Readout(self.head(latent), {}, None)
        refresh(memory)
        start = cast(MemoryState, carry) if carry is not None else memory.initial(latent.shape[0])
        projected = memory.project(latent)
        before, final = memory.scan(latent, ratio, projected, start)
        read = memory.read(latent, ratio, projected, before)
        if not memory.shared and not is_watched(memory):
            inputs = (latent, ratio, before.memory, before.velocity)
            recalled = skip_zero_rows(read.memory, memory.recall, inputs, tuple(memory.parameters()))
            read = read._replace(memory=recalled)
        return Readout(self.head(torch.cat((latent, read.memory), -1)), read._asdict(), final)

    def dynamics(self, last: TideFeatures, observed: Mapping[str, Tensor], carry: Batched | None) -> Dynamics:
        """Collect what losses and monitors read; ``carry`` is the memory after the last tick."""
        recall = None
        if carry is not None:
            memory = cast(MemoryState, carry)
            named = {name: observed[name] for name in ("surprise", "gate", "reconstruction")}
            recall = Recall(**named, memory=memory.memory, velocity=memory.velocity)
        return Dynamics(
            rates=last.rates,
            activation=last.activation,
            drive=last.drive,
            sync_power=observed["sync_power"],
            lateral_iterations=observed["lateral_iterations"],
            recall=recall,
            ratio_target=self.config.ratio_target,
        )

    def blocks(self) -> RecurrentBlocks:
        """Return W_EE, W_EI, W_IE, W_II."""
        return self.wilson_cowan.blocks()

    def certified_rate(self) -> float | None:
        """Return the factor per tick that the core's guarantee certifies, None without one."""
        return self.wilson_cowan.certified_rate()

    def pairs(self) -> Tensor:
        """Return the neuron pairs whose synchrony is read, (2, P): E-E, then E-I, then I-I."""
        return self.synchronisation.pairs()

    def consolidate_(
        self, batches: Sequence[Dynamics], average: Callable[[Tensor], Tensor] = lambda mean: mean
    ) -> None:
        """Move the memory's persistent buffers towards the mean final state of the micro-batches."""
        recalls = [dynamics.recall for dynamics in batches if dynamics.recall is not None]
        if self.memory is not None and recalls:
            memory = torch.stack([recall.memory.mean(0) for recall in recalls]).mean(0)
            velocity = torch.stack([recall.velocity.mean(0) for recall in recalls]).mean(0)
            self.memory.consolidate_(average(memory), average(velocity))


def coverage(core: CoreConfig) -> str | None:
    """Return in one sentence what the core's guarantee covers as it is configured, None without one."""
    if core.guarantee == "none":
        return None
    if core.guarantee == "lds":
        return (
            "guarantee lds: the linear Euler map contracts and the weights are Lyapunov diagonally stable; activation "
            "and norm inside the Euler map are not covered"
        )
    if core.neuron_models.feedback:
        return (
            "guarantee contraction: covers the core without the feedback of the neuron-level models, which this run "
            "has; --core.neuron-models.no-feedback makes it cover what runs"
        )
    return "guarantee contraction: the core contracts for every input of the attention"

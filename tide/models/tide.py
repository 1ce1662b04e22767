"""TIDE's cell: one tick of the excitatory-inhibitory core (equations §2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from tide.config import CoreConfig
from tide.models.cell import Cell, Readout
from tide.models.heads import OutputHead
from tide.nn.attention import AttentionRead, CrossAttention, driven, nothing_to_read
from tide.nn.constraints import RecurrentBlocks
from tide.nn.dynamics import DynamicsWeights, WilsonCowan, ei_ratio
from tide.nn.lateral import LateralInhibition, LateralWeights
from tide.nn.memory import MemoryState, SurpriseMemory
from tide.nn.neuron_models import NeuronModels, NeuronModelWeights, push
from tide.nn.synchrony import Synchronisation, SynchronyState
from tide.types import Dynamics, Recall

MEMORY_OBSERVABLES = ("memory", "surprise", "gate", "reconstruction")


class TickWeights(NamedTuple):
    """Weights composed once per forward pass and used by every tick."""

    dynamics: DynamicsWeights
    lateral: LateralWeights
    neuron_models: NeuronModelWeights | None
    retention: Tensor


class TideState(NamedTuple):
    """What a tick hands to the next.

    ``keys`` and ``values`` stay as they are, and so does ``drive`` (B, d), which stands in their place where there is
    one; ``rates`` (B, D), ``history`` (D, B, M), ``synchrony`` (B, P) and ``latent`` (B, d_z) change.
    """

    weights: TickWeights
    keys: Tensor
    values: Tensor
    rates: Tensor
    history: Tensor
    synchrony: SynchronyState
    latent: Tensor
    drive: Tensor | None = None

    def detach(self) -> Self:
        """Cut the gradient to earlier ticks; keys, values and weights keep theirs."""
        return self._replace(
            rates=self.rates.detach(),
            history=self.history.detach(),
            synchrony=self.synchrony.detach(),
            latent=self.latent.detach(),
        )

    def rows(self, index: Tensor) -> Self:
        """Keep the samples named by ``index``."""
        return self._replace(
            keys=self.keys[index],
            values=self.values[index],
            rates=self.rates[index],
            history=self.history[:, index],
            synchrony=self.synchrony.rows(index),
            latent=self.latent[index],
            drive=self.drive[index] if self.drive is not None else None,
        )

    def repeated(self, count: int) -> Self:
        """Return the state of ``count`` copies of the one sample that this holds."""
        return self._replace(
            keys=self.keys.expand(count, -1, -1, -1),
            values=self.values.expand(count, -1, -1, -1),
            rates=self.rates.expand(count, -1),
            history=self.history.expand(-1, count, -1),
            synchrony=self.synchrony._replace(products=self.synchrony.products.expand(count, -1)),
            latent=self.latent.expand(count, -1),
            drive=self.drive.expand(count, -1) if self.drive is not None else None,
        )


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


class TideCell(Cell):
    """Attention, Wilson-Cowan step, lateral inhibition, neuron-level models and synchronisation, in this order.

    The memory and the output head feed nothing back and run in :meth:`readout`.
    """

    observables: ClassVar[Mapping[str, Callable[[TideFeatures], Tensor]]] = {
        "rates_e": lambda f: f.rates[:, : f.n_e],
        "rates_i": lambda f: f.rates[:, f.n_e :],
        "preactivation_e": lambda f: f.preactivation[:, : f.n_e],
        "preactivation_i": lambda f: f.preactivation[:, f.n_e :],
        "inhibited_e": lambda f: f.inhibited,
        "corrected_e": lambda f: f.corrected[:, : f.n_e],
        "corrected_i": lambda f: f.corrected[:, f.n_e :],
        "ei_ratio": lambda f: f.ratio,
        "synchrony": lambda f: f.synchrony,
        "sync_power": lambda f: f.synchrony.square().mean(1),
        "latent": lambda f: f.latent,
        "attention": lambda f: f.attention,
        "lateral_iterations": lambda f: f.lateral_iterations,
    }
    needed = ("latent", "ei_ratio")
    needed_by_dynamics = ("sync_power", "lateral_iterations")
    components: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "attention": ("attention",),
        "dynamics": ("wilson_cowan", "lateral"),
        "neuron_models": ("neuron_models",),
        "synchrony": ("synchronisation", "memory"),
        "head": ("head",),
    }
    activity: ClassVar[Mapping[str, str]] = {"excitatory rates": "rates_e", "inhibitory rates": "rates_i"}
    probes: ClassVar[Mapping[str, str]] = {
        "memory_projection": "memory.project.",
        "memory_reconstruction": "memory.reconstruct.",
        "memory_gate": "memory.sharpness",
    }

    def __init__(self, core: CoreConfig, *, features: int, outputs: int, seed: int) -> None:
        """``features`` is the tokens' width d_kv; ``outputs`` how many logits a tick has; ``seed`` draws the pairs."""
        super().__init__()
        self.config = core
        latent, memory = 3 * core.synchrony.width, core.memory
        width, heads = core.attention.width, core.attention.heads
        self.inputs = width if core.attends else features
        self.absent = () if core.attends else ("attention",)
        self.attention = (
            CrossAttention(latent, features, width, heads, residual=core.attention.residual) if core.attends else None
        )
        self.wilson_cowan = WilsonCowan(core, self.inputs)
        self.lateral = LateralInhibition(core.n_e, core.n_i, core.lateral, dale=core.dale)
        self.neuron_models = NeuronModels(core) if core.neuron_models.enabled else None
        self.synchronisation = Synchronisation(core, seed)
        self.memory = SurpriseMemory(latent, core.ratio_target, memory) if memory.enabled else None
        self.readout_observables = MEMORY_OBSERVABLES if memory.enabled else ()
        read = latent + (memory.width if memory.enabled else 0)
        self.head = OutputHead(read, core.head.hidden, outputs, core.head.dropout, core.head.norm_epsilon)

    def begin(self, shown: Tensor) -> TideState:
        """Learned start rates, an empty history, S⁰ from the start rates."""
        batch = shown.shape[0]
        weights = TickWeights(
            self.wilson_cowan.compose(),
            self.lateral.compose(),
            self.neuron_models.compose() if self.neuron_models is not None else None,
            self.synchronisation.retention(),
        )
        rates = self.wilson_cowan.start.expand(batch, -1)
        history = rates.new_zeros(self.config.neurons, batch, self.config.neuron_models.memory_length)
        synchrony = self.synchronisation.begin(rates)
        _, latent = self.synchronisation.read(synchrony)
        keys, values = nothing_to_read(batch, self.config.attention.heads, rates)
        return self.show(TideState(weights, keys, values, rates, history, synchrony, latent), shown)

    def show(self, state: TideState, shown: Tensor | None) -> TideState:
        """Let the next ticks read tokens, or be driven by what stands in the place of the attention's output."""
        if shown is None:
            shown = state.rates.new_zeros(len(state.rates), self.inputs)
        if self.attention is None or shown.dim() == 2:
            return state._replace(drive=shown)
        keys, values = self.attention.prepare(shown)
        return state._replace(keys=keys, values=values, drive=None)

    def read(self, state: TideState) -> AttentionRead:
        """Return what the latent state reads of what is shown."""
        if state.drive is not None:
            return driven(state.drive, state.keys)
        assert self.attention is not None
        read: AttentionRead = self.attention(state.latent, state.keys, state.values)
        return read

    def step(self, state: TideState) -> tuple[TideState, TideFeatures]:
        """Advance by one tick."""
        n_e, weights = self.config.n_e, state.weights
        attended = self.read(state)
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
        following = state._replace(
            rates=corrected if self.config.neuron_models.feedback else euler.rates,
            history=history,
            synchrony=synchrony_state,
            latent=latent,
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

    def readout(self, observed: Mapping[str, Tensor], carry: MemoryState | None = None) -> Readout:
        """Memory and head over all given ticks at once; ``carry`` is the memory state after earlier ticks."""
        latent = observed["latent"]
        if self.memory is None:
            return Readout(self.head(latent), {}, None)
        start = carry if carry is not None else self.memory.begin(latent.shape[0])
        read, final = self.memory(latent, observed["ei_ratio"], start)
        return Readout(self.head(torch.cat((latent, read.memory), -1)), read._asdict(), final)

    def begin_readout(self, batch: int) -> MemoryState | None:
        """Every sample's memory starts from the persistent buffers."""
        return self.memory.begin(batch) if self.memory is not None else None

    def dynamics(self, last: TideFeatures, observed: Mapping[str, Tensor], carry: MemoryState | None) -> Dynamics:
        """Collect what losses and monitors read."""
        recall = None
        if carry is not None:
            named = {name: observed[name] for name in ("surprise", "gate", "reconstruction")}
            recall = Recall(**named, memory=carry.memory, velocity=carry.velocity)
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

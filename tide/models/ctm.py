"""The Continuous Thought Machine's cell (Darlow et al., arXiv:2505.05522): the baseline in the same house."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from tide.config import CTMConfig, register
from tide.models.cell import Observable, ReadingCell, ReadingContext, Readout, State
from tide.models.reference import CTM, from_reference_config
from tide.nn.attention import ProjectedAttention, ReaderWeights
from tide.nn.ctm import TraceModels, TraceWeights, every_pair, make_synapses
from tide.nn.neuron_models import push
from tide.nn.synchrony import PairSynchrony, SynchronyState, WindowSynchrony, WindowWeights

__all__ = ["CTM", "CTMCell", "choose_pairs", "from_reference_config"]


class CTMWeights(NamedTuple):
    """Weights composed once per forward pass and used by every tick."""

    attention: ReaderWeights | None
    models: tuple[TraceWeights, ...]
    retention_action: Tensor | None
    retention_out: Tensor | WindowWeights


class CTMState(State):
    """What a tick hands to the next.

    ``post_activations`` (B, D), ``history`` of pre-activations (D, B, M) and the synchrony of the pairs that steer the
    attention (``action``, None without attention) and give the logits (``out``; with ``core.window`` None, and in its
    place the last M activations of the neurons that are read, (J, B, M)).
    """

    batch_dim: ClassVar = {"history": 1, "window": 1}

    post_activations: Tensor
    history: Tensor
    action: SynchronyState | None
    out: SynchronyState | None
    window: Tensor | None = None


class CTMFeatures(NamedTuple):
    """Everything one tick computed."""

    pre_activations: Tensor
    post_activations: Tensor
    synch_action: Tensor | None
    synch_out: Tensor
    attention: Tensor


OBSERVABLES: Mapping[str, Observable] = {
    "pre_activations": Observable(lambda f: f.pre_activations),
    "post_activations": Observable(lambda f: f.post_activations),
    "synch_action": Observable(lambda f: f.synch_action),
    "synch_out": Observable(lambda f: f.synch_out, "readout"),
    "synchrony": Observable(lambda f: f.synch_out),
    "attention": Observable(lambda f: f.attention),
}
"""What can be recorded of a tick, from its :class:`CTMFeatures`."""


@register("core", CTMConfig)
class CTMCell(ReadingCell):
    """Attention steered by synchrony, synapses, neuron-level models over pre-activations; logits from synchrony."""

    components: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "attention": ("attention",),
        "dynamics": ("synapses", "start", "start_history", "start_window"),
        "neuron_models": ("trace_models",),
        "synchrony": ("synchrony_action", "synchrony_out"),
        "head": ("head",),
    }
    activity: ClassVar[Mapping[str, str]] = {
        "pre-activations": "pre_activations",
        "post-activations": "post_activations",
    }
    steers: ClassVar[str] = "synch_action"

    def __init__(self, core: CTMConfig, *, features: int, outputs: int, seed: int) -> None:
        """``features`` is the tokens' width d_kv; ``outputs`` how many logits a tick has; ``seed`` draws the pairs."""
        super().__init__()
        self.config = core
        action, out = choose_pairs(core, torch.Generator().manual_seed(seed))
        self.synchrony_action = PairSynchrony(action) if core.attends else None
        self.synchrony_out: PairSynchrony | WindowSynchrony = (
            WindowSynchrony(core.synchrony_out, core.memory_length) if core.window else PairSynchrony(out)
        )
        self.inputs = core.attention_width if core.attends else features
        self.attention = (
            ProjectedAttention(action.shape[1], features, core.attention_width, core.heads, dropout=core.dropout)
            if core.attends
            else None
        )
        self.synapses = make_synapses(
            self.inputs + core.neurons, core.neurons, core.synapse_depth, core.dropout, core.synapse_blocks
        )
        dropout = core.dropout if core.neuron_dropout is None else core.neuron_dropout
        self.trace_models = TraceModels(
            core.neurons,
            length=core.memory_length,
            hidden=core.hidden,
            deep=core.deep,
            norm=core.neuron_norm,
            dropout=dropout,
        )
        self.head = nn.Linear(out.shape[1], outputs)
        self.start = None if core.window else nn.Parameter(_symmetric(core.neurons, of=core.neurons))
        of = core.neurons + core.memory_length
        self.start_history = nn.Parameter(_symmetric(core.neurons, core.memory_length, of=of))
        self.start_window = nn.Parameter(_symmetric(core.neurons, core.memory_length, of=of)) if core.window else None

    @property
    def observables(self) -> Mapping[str, Observable]:
        """All of :data:`OBSERVABLES`; those of the attention only where there is one."""
        left_out = () if self.config.attends else ("synch_action", "attention")
        return {name: observable for name, observable in OBSERVABLES.items() if name not in left_out}

    def context(self, x: Tensor) -> ReadingContext:
        """Compose the weights, and attach the input."""
        weights = CTMWeights(
            self.attention.compose() if self.attention is not None else None,
            self.trace_models.compose(),
            self.synchrony_action.retention() if self.synchrony_action is not None else None,
            self.synchrony_out.compose()
            if isinstance(self.synchrony_out, WindowSynchrony)
            else self.synchrony_out.retention(),
        )
        return self.reading(x, weights, self.config.heads)

    def initial(self, batch: int) -> CTMState:
        """Learned start activations and history; with a window, a learned window."""
        history = self.start_history[:, None].expand(-1, batch, -1)
        if self.start_window is not None:
            window = self.start_window[:, None].expand(-1, batch, -1)
            return CTMState(
                post_activations=window[:, :, -1].t(),
                history=history,
                action=None,
                out=None,
                window=window[-self.config.synchrony_out :],
            )
        assert self.start is not None
        assert isinstance(self.synchrony_out, PairSynchrony)
        post = self.start.expand(batch, -1)
        return CTMState(
            post_activations=post,
            history=history,
            action=self.synchrony_action.initial(post) if self.synchrony_action is not None else None,
            out=self.synchrony_out.initial(post),
        )

    def step(self, context: ReadingContext, state: CTMState) -> tuple[CTMState, CTMFeatures]:
        """Advance by one tick."""
        weights = context.weights
        steering, synch_action, action = self.synchrony_action, None, None
        if steering is not None and state.action is not None:
            synch_action = steering.value(state.action)
        read = self.read(context, synch_action, weights.attention)
        pre = self.synapses(torch.cat((read.output, state.post_activations), 1))
        history = push(state.history, pre)
        post = self.trace_models(history, weights.models)
        if steering is not None:
            # Already that of the next tick, which reads it first.
            action = steering(state.action, post, weights.retention_action)
        out, window = None, None
        if state.window is not None:
            window = push(state.window, post[:, -len(state.window) :])
            synch_out = self.synchrony_out(window, weights.retention_out)
        else:
            out = self.synchrony_out(state.out, post, weights.retention_out)
            synch_out = PairSynchrony.value(out)
        following = CTMState(post_activations=post, history=history, action=action, out=out, window=window)
        return following, CTMFeatures(pre, post, synch_action, synch_out, read.weights)

    @property
    def reads(self) -> tuple[str, ...]:
        """The head reads the synchrony of the output pairs."""
        return ("synch_out",)

    def readout(self, observed: Mapping[str, Tensor], carry: None = None) -> Readout:
        """Logits of the output pairs' synchrony, over all given ticks at once."""
        return Readout(self.head(observed["synch_out"]).transpose(1, 2), {}, None)

    def pairs(self) -> Tensor:
        """Return the neuron pairs whose synchrony gives the logits, (2, P)."""
        if isinstance(self.synchrony_out, PairSynchrony):
            return self.synchrony_out.pairs()
        first = self.config.neurons - self.config.synchrony_out
        return torch.stack((self.synchrony_out.left, self.synchrony_out.right)) + first


def choose_pairs(core: CTMConfig, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the pairs (2, P) that steer the attention and those that give the logits.

    ``random-pairing``: so many pairs of neurons drawn with replacement, the first ``self_pairs`` of a neuron with
    itself. Otherwise all n (n + 1)/2 pairs between n left and n right neurons: drawn (``random``), or the last n for
    the attention and the first n for the logits (``first-last``).
    """
    return (
        _choose(core, core.synchrony_action, core.neurons - core.synchrony_action, generator),
        _choose(core, core.synchrony_out, 0, generator),
    )


def _choose(core: CTMConfig, count: int, first: int, generator: torch.Generator) -> Tensor:
    if core.selection == "first-last":
        chosen = torch.arange(first, first + count, device="cpu")
        return every_pair(chosen, chosen)
    left = torch.randint(core.neurons, (count,), generator=generator, device="cpu")
    right = torch.randint(core.neurons, (count,), generator=generator, device="cpu")
    if core.selection == "random":
        return every_pair(left, right)
    right[: core.self_pairs] = left[: core.self_pairs]
    return torch.stack((left, right))


def _symmetric(*shape: int, of: int) -> Tensor:
    """Uniform on ±1/√of."""
    value: Tensor = (2 * torch.rand(*shape) - 1) / math.sqrt(of)
    return value

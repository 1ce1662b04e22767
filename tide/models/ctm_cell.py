"""The Continuous Thought Machine's cell (Darlow et al., arXiv:2505.05522): the baseline in the same house."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import ClassVar, NamedTuple, Self, cast

import torch
from torch import Tensor, nn

from tide.config import CTMConfig
from tide.core.attention import ProjectedAttention, ReaderWeights, driven, nothing_to_read
from tide.core.neuron_models import push
from tide.core.synapses import make_synapses
from tide.core.synchrony import PairSynchrony, SynchronyState
from tide.core.trace_models import TraceModels, TraceWeights
from tide.models.cell import Cell, Readout


class CTMWeights(NamedTuple):
    """Weights composed once per forward pass and used by every tick."""

    attention: ReaderWeights | None
    models: tuple[TraceWeights, ...]
    retention_action: Tensor | None
    retention_out: Tensor


class CTMState(NamedTuple):
    """What a tick hands to the next.

    ``keys`` and ``values`` stay, and so does ``drive`` (B, d), which stands in their place where there is one;
    ``post_activations`` (B, D), ``history`` of pre-activations (D, B, M) and the synchrony of the pairs that steer the
    attention (``action``, None without attention) and give the logits (``out``) change.
    """

    weights: CTMWeights
    keys: Tensor
    values: Tensor
    post_activations: Tensor
    history: Tensor
    action: SynchronyState | None
    out: SynchronyState
    drive: Tensor | None = None

    def detach(self) -> Self:
        """Cut the gradient to earlier ticks; keys, values and weights keep theirs."""
        return self._replace(
            post_activations=self.post_activations.detach(),
            history=self.history.detach(),
            action=self.action.detach() if self.action is not None else None,
            out=self.out.detach(),
        )

    def rows(self, index: Tensor) -> Self:
        """Keep the samples named by ``index``."""
        return self._replace(
            keys=self.keys[index],
            values=self.values[index],
            post_activations=self.post_activations[index],
            history=self.history[:, index],
            action=self.action.rows(index) if self.action is not None else None,
            out=self.out.rows(index),
            drive=self.drive[index] if self.drive is not None else None,
        )


class CTMFeatures(NamedTuple):
    """Everything one tick computed."""

    pre_activations: Tensor
    post_activations: Tensor
    synch_action: Tensor | None
    synch_out: Tensor
    attention: Tensor


class CTMCell(Cell):
    """Attention steered by synchrony, synapses, neuron-level models over pre-activations; logits from synchrony."""

    observables: ClassVar[Mapping[str, Callable[[CTMFeatures], Tensor]]] = {
        "pre_activations": lambda f: f.pre_activations,
        "post_activations": lambda f: f.post_activations,
        "synch_action": lambda f: cast(Tensor, f.synch_action),
        "synch_out": lambda f: f.synch_out,
        "synchrony": lambda f: f.synch_out,
        "attention": lambda f: f.attention,
    }
    needed = ("synch_out",)
    components: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "attention": ("attention",),
        "dynamics": ("synapses", "start", "start_history"),
        "neuron_models": ("trace_models",),
        "synchrony": ("synchrony_action", "synchrony_out"),
        "head": ("head",),
    }
    activity: ClassVar[Mapping[str, str]] = {
        "pre-activations": "pre_activations",
        "post-activations": "post_activations",
    }

    def __init__(self, core: CTMConfig, *, features: int, outputs: int, seed: int) -> None:
        """``features`` is the tokens' width d_kv; ``outputs`` how many logits a tick has; ``seed`` draws the pairs."""
        super().__init__()
        self.config = core
        action, out = choose_pairs(core, torch.Generator().manual_seed(seed))
        self.synchrony_action = PairSynchrony(action) if core.attends else None
        self.synchrony_out = PairSynchrony(out)
        self.inputs = core.attention_width if core.attends else features
        self.absent = () if core.attends else ("attention", "synch_action")
        self.attention = (
            ProjectedAttention(action.shape[1], features, core.attention_width, core.heads, dropout=core.dropout)
            if core.attends
            else None
        )
        self.synapses = make_synapses(self.inputs + core.neurons, core.neurons, core.synapse_depth, core.dropout)
        self.trace_models = TraceModels(core)
        self.head = nn.Linear(out.shape[1], outputs)
        self.start = nn.Parameter(_symmetric(core.neurons, of=core.neurons))
        self.start_history = nn.Parameter(
            _symmetric(core.neurons, core.memory_length, of=core.neurons + core.memory_length)
        )

    def begin(self, shown: Tensor) -> CTMState:
        """Learned start activations and history."""
        weights = CTMWeights(
            self.attention.compose() if self.attention is not None else None,
            self.trace_models.compose(),
            self.synchrony_action.retention() if self.synchrony_action is not None else None,
            self.synchrony_out.retention(),
        )
        batch = shown.shape[0]
        post = self.start.expand(batch, -1)
        history = self.start_history[:, None].expand(-1, batch, -1)
        action = self.synchrony_action.begin(post) if self.synchrony_action is not None else None
        out = self.synchrony_out.begin(post)
        keys, values = nothing_to_read(batch, self.config.heads, post)
        return self.show(CTMState(weights, keys, values, post, history, action, out), shown)

    def show(self, state: CTMState, shown: Tensor | None) -> CTMState:
        """Let the next ticks read tokens, or put a drive in the place of the attention's output as it is."""
        if shown is None:
            shown = state.post_activations.new_zeros(len(state.post_activations), self.inputs)
        if self.attention is None or shown.dim() == 2:
            return state._replace(drive=shown)
        keys, values = self.attention.prepare(shown)
        return state._replace(keys=keys, values=values, drive=None)

    def step(self, state: CTMState) -> tuple[CTMState, CTMFeatures]:
        """Advance by one tick."""
        weights = state.weights
        steering, synch_action, action = self.synchrony_action, None, None
        if steering is not None and state.action is not None:
            synch_action = steering.value(state.action)
        if state.drive is not None:
            read = driven(state.drive, state.keys)
        else:
            assert self.attention is not None
            read = self.attention(synch_action, state.keys, state.values, weights.attention)
        pre = self.synapses(torch.cat((read.output, state.post_activations), 1))
        history = push(state.history, pre)
        post = self.trace_models(history, weights.models)
        if steering is not None:
            # Already that of the next tick, which reads it first.
            action = steering(state.action, post, weights.retention_action)
        out = self.synchrony_out(state.out, post, weights.retention_out)
        following = state._replace(
            post_activations=post,
            history=history,
            action=action,
            out=out,
        )
        return following, CTMFeatures(pre, post, synch_action, self.synchrony_out.value(out), read.weights)

    def readout(self, observed: Mapping[str, Tensor], carry: None = None) -> Readout:
        """Logits of the output pairs' synchrony, over all given ticks at once."""
        return Readout(self.head(observed["synch_out"]).transpose(1, 2), {}, None)

    def pairs(self) -> Tensor:
        """Return the neuron pairs whose synchrony gives the logits, (2, P)."""
        return self.synchrony_out.pairs()


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


def every_pair(left: Tensor, right: Tensor) -> Tensor:
    """Return (left_i, right_j) for all i ≤ j, row by row, (2, n (n + 1)/2)."""
    i, j = torch.triu_indices(len(left), len(right), device="cpu")
    return torch.stack((left[i], right[j]))


def _symmetric(*shape: int, of: int) -> Tensor:
    """Uniform on ±1/√of."""
    value: Tensor = (2 * torch.rand(*shape) - 1) / math.sqrt(of)
    return value

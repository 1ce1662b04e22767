"""The Continuous Thought Machine's cell (Darlow et al., arXiv:2505.05522): the baseline in the same house."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from tide.config import CTMConfig
from tide.core.attention import ProjectedAttention, ReaderWeights
from tide.core.neuron_models import push
from tide.core.synapses import make_synapses
from tide.core.synchrony import PairSynchrony, SynchronyState
from tide.core.trace_models import TraceModels, TraceWeights
from tide.models.cell import Cell, Readout


class CTMWeights(NamedTuple):
    """Weights composed once per forward pass and used by every tick."""

    attention: ReaderWeights
    models: tuple[TraceWeights, ...]
    retention: Tensor


class CTMState(NamedTuple):
    """What a tick hands to the next.

    ``keys`` and ``values`` stay; ``post_activations`` (B, D), ``history`` of pre-activations (D, B, M) and
    ``synchrony`` of the pairs that steer the attention change.
    """

    weights: CTMWeights
    keys: Tensor
    values: Tensor
    post_activations: Tensor
    history: Tensor
    synchrony: SynchronyState

    def detach(self) -> Self:
        """Cut the gradient to earlier ticks; keys, values and weights keep theirs."""
        return self._replace(
            post_activations=self.post_activations.detach(),
            history=self.history.detach(),
            synchrony=self.synchrony.detach(),
        )

    def rows(self, index: Tensor) -> Self:
        """Keep the samples named by ``index``."""
        return self._replace(
            keys=self.keys[index],
            values=self.values[index],
            post_activations=self.post_activations[index],
            history=self.history[:, index],
            synchrony=self.synchrony.rows(index),
        )


class CTMFeatures(NamedTuple):
    """Everything one tick computed."""

    pre_activations: Tensor
    post_activations: Tensor
    synch_action: Tensor
    attention: Tensor


class CTMCell(Cell):
    """Attention steered by synchrony, synapses, neuron-level models over pre-activations; synchrony gives the logits.

    The synchrony of the output feeds nothing back and runs in :meth:`readout`.
    """

    observables: ClassVar[Mapping[str, Callable[[CTMFeatures], Tensor]]] = {
        "pre_activations": lambda f: f.pre_activations,
        "post_activations": lambda f: f.post_activations,
        "synch_action": lambda f: f.synch_action,
        "attention": lambda f: f.attention,
    }
    needed = ("post_activations",)
    readout_observables = ("synch_out", "synchrony")
    components: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "attention": ("attention",),
        "dynamics": ("synapses",),
        "neuron_models": ("trace_models",),
        "synchrony": ("synchrony_action", "synchrony_out"),
        "head": ("head",),
    }
    activity: ClassVar[Mapping[str, str]] = {
        "pre-activations": "pre_activations",
        "post-activations": "post_activations",
    }

    def __init__(self, core: CTMConfig, *, features: int, classes: int, seed: int) -> None:
        """``features`` is the tokens' width d_kv; ``seed`` draws the pairs."""
        super().__init__()
        self.config = core
        action, out = choose_pairs(core, torch.Generator().manual_seed(seed))
        self.synchrony_action, self.synchrony_out = PairSynchrony(action), PairSynchrony(out)
        self.attention = ProjectedAttention(
            action.shape[1], features, core.attention_width, core.heads, dropout=core.dropout
        )
        self.synapses = make_synapses(
            core.attention_width + core.neurons, core.neurons, core.synapse_depth, core.dropout
        )
        self.trace_models = TraceModels(core)
        self.head = nn.Linear(out.shape[1], classes)
        self.start = nn.Parameter(_symmetric(core.neurons, of=core.neurons))
        self.start_history = nn.Parameter(
            _symmetric(core.neurons, core.memory_length, of=core.neurons + core.memory_length)
        )

    def begin(self, tokens: Tensor) -> CTMState:
        """Learned start activations and history; keys and values of the image."""
        weights = CTMWeights(self.attention.compose(), self.trace_models.compose(), self.synchrony_action.retention())
        keys, values = self.attention.prepare(tokens)
        batch = tokens.shape[0]
        post = self.start.expand(batch, -1)
        history = self.start_history[:, None].expand(-1, batch, -1)
        return CTMState(weights, keys, values, post, history, self.synchrony_action.begin(post))

    def step(self, state: CTMState) -> tuple[CTMState, CTMFeatures]:
        """Advance by one tick."""
        weights = state.weights
        synchrony = self.synchrony_action.value(state.synchrony)
        read = self.attention(synchrony, state.keys, state.values, weights.attention)
        pre = self.synapses(torch.cat((read.output, state.post_activations), 1))
        history = push(state.history, pre)
        post = self.trace_models(history, weights.models)
        following = state._replace(
            post_activations=post,
            history=history,
            # Already that of the next tick, which reads it first.
            synchrony=self.synchrony_action(state.synchrony, post, weights.retention),
        )
        return following, CTMFeatures(pre, post, synchrony, read.weights)

    def readout(self, observed: Mapping[str, Tensor], carry: SynchronyState | None = None) -> Readout:
        """Synchrony of the output pairs over all given ticks, and the logits; ``carry`` is its state before them."""
        post, pairs = observed["post_activations"], self.synchrony_out
        retention = pairs.retention()
        state = carry if carry is not None else pairs.begin(self.start.expand(post.shape[0], -1))
        values = []
        for tick in range(post.shape[1]):
            state = pairs(state, post[:, tick], retention)
            values.append(pairs.value(state))
        synchrony = torch.stack(values, 1)
        return Readout(self.head(synchrony).transpose(1, 2), {"synch_out": synchrony, "synchrony": synchrony}, state)

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
        chosen = torch.arange(first, first + count)
        return every_pair(chosen, chosen)
    left = torch.randint(core.neurons, (count,), generator=generator)
    right = torch.randint(core.neurons, (count,), generator=generator)
    if core.selection == "random":
        return every_pair(left, right)
    right[: core.self_pairs] = left[: core.self_pairs]
    return torch.stack((left, right))


def every_pair(left: Tensor, right: Tensor) -> Tensor:
    """Return (left_i, right_j) for all i ≤ j, row by row, (2, n (n + 1)/2)."""
    i, j = torch.triu_indices(len(left), len(right))
    return torch.stack((left[i], right[j]))


def _symmetric(*shape: int, of: int) -> Tensor:
    """Uniform on ±1/√of."""
    value: Tensor = (2 * torch.rand(*shape) - 1) / math.sqrt(of)
    return value

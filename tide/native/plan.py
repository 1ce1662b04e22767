"""What a call into the native loop works on: settings, weights and start, in the shapes that it wants."""

from __future__ import annotations

from math import inf
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from tide.config import CoreConfig
from tide.core.attention import CrossAttention
from tide.core.lateral import LateralWeights
from tide.core.neuron_models import NeuronModelWeights
from tide.core.synchrony import Synchronisation
from tide.core.wilson_cowan import RMS_EPSILON, DynamicsWeights
from tide.native.arguments import NORMS, STREAMS, Sizes


class LoopWeights(NamedTuple):
    """The weights of all ticks, rows of matrices first: A the attention's width, h hidden units of a neuron's model.

    ``map`` is [U | W_eff] (D, A + D); ``first`` (D, 2h, M), ``first_bias`` (D, 2h), ``second`` (D, 2, h),
    ``second_bias`` (D, 2), None without neuron models; ``skip`` None without the attention's residual; untyped pairs
    have one stream.
    """

    query: Tensor
    query_bias: Tensor
    output: Tensor
    output_bias: Tensor
    skip: Tensor | None
    skip_bias: Tensor | None
    attention_gain: Tensor
    attention_bias: Tensor
    map: Tensor
    map_bias: Tensor
    gain: Tensor
    alpha: Tensor
    excite: Tensor
    inhibit: Tensor
    first: Tensor | None
    first_bias: Tensor | None
    second: Tensor | None
    second_bias: Tensor | None
    retention: Tensor
    stream_0: Tensor
    stream_bias_0: Tensor
    stream_1: Tensor | None
    stream_bias_1: Tensor | None
    stream_2: Tensor | None
    stream_bias_2: Tensor | None
    latent_gain: Tensor
    latent_bias: Tensor


class LoopStart(NamedTuple):
    """Keys (B, heads, d_head, N), values (B, heads, N, d_head) and the state before the first tick.

    ``rates`` (B, D), ``history`` (D, B, M) or empty without neuron models, ``products`` (B, P), ``latent`` (B, d_z);
    ``scale`` (T, P) is 1/√N of every tick.
    """

    keys: Tensor
    values: Tensor
    rates: Tensor
    history: Tensor
    products: Tensor
    latent: Tensor
    scale: Tensor


class Plan(NamedTuple):
    """Settings of a loop, and the pairs (P,) that it reads."""

    heads: int
    excitatory: int
    iterations: int
    norm: str
    feedback: bool
    early_stop: bool
    tolerance: float
    clamp: float
    attention_epsilon: float
    latent_epsilon: float
    left: Tensor
    right: Tensor

    def sizes(self, weights: LoopWeights, start: LoopStart) -> Sizes:
        """Return sizes and settings for the library, of a loop of as many ticks as ``start.scale`` has."""
        batch, heads, width, positions = start.keys.shape
        _, twice, memory = weights.first.shape if weights.first is not None else (0, 0, 0)
        streams = [w for w in (weights.stream_0, weights.stream_1, weights.stream_2) if w is not None]
        sizes = Sizes(
            batch=batch,
            ticks=len(start.scale),
            iterations=self.iterations,
            heads=heads,
            head_width=width,
            positions=positions,
            neurons=len(weights.gain),
            excitatory=self.excitatory,
            pool=len(weights.excite),
            hidden=twice // 2,
            memory=memory,
            pairs=len(weights.retention),
            streams=len(streams),
            latent=len(weights.latent_gain),
            norm=NORMS[self.norm],
            feedback=self.feedback,
            early_stop=self.early_stop,
            history_slots=memory + len(start.scale),
            tolerance=self.tolerance,
            clamp=self.clamp,
            attention_epsilon=self.attention_epsilon,
            latent_epsilon=self.latent_epsilon,
            rms_epsilon=RMS_EPSILON,
        )
        for number, stream in enumerate(streams):
            sizes.stream_pairs[number] = stream.shape[1]
        return sizes


def make_plan(core: CoreConfig, attention: CrossAttention, synchronisation: Synchronisation, *, training: bool) -> Plan:
    """Return the plan of a core in training or eval mode."""
    return Plan(
        heads=attention.heads,
        excitatory=core.n_e,
        iterations=core.lateral.iterations,
        norm=core.norm,
        feedback=core.neuron_models.feedback,
        early_stop=not training,
        tolerance=core.lateral.tolerance,
        clamp=inf if synchronisation.clamp is None else synchronisation.clamp,
        attention_epsilon=attention.norm.eps,
        latent_epsilon=synchronisation.norm.eps,
        left=synchronisation.left,
        right=synchronisation.right,
    )


def gather_weights(
    attention: CrossAttention,
    dynamics: DynamicsWeights,
    lateral: LateralWeights,
    neuron_models: NeuronModelWeights | None,
    synchronisation: Synchronisation,
    retention: Tensor,
) -> LoopWeights:
    """Bring the weights of a forward pass into the loop's shapes, differentiably."""
    models: dict[str, Tensor | None] = dict.fromkeys(NeuronModelWeights._fields)
    if neuron_models is not None:
        models = {
            "first": neuron_models.first.transpose(1, 2),
            "first_bias": neuron_models.first_bias.squeeze(1),
            "second": neuron_models.second.transpose(1, 2),
            "second_bias": neuron_models.second_bias.squeeze(1),
        }
    streams: dict[str, Tensor | None] = {}
    for number in range(STREAMS):
        stream = cast(nn.Linear, synchronisation.streams[number]) if number < len(synchronisation.streams) else None
        streams[f"stream_{number}"] = None if stream is None else stream.weight
        streams[f"stream_bias_{number}"] = None if stream is None else stream.bias
    skip = attention.skip
    return LoopWeights(
        query=attention.query.weight,
        query_bias=attention.query.bias,
        output=attention.output.weight,
        output_bias=attention.output.bias,
        skip=None if skip is None else skip.weight,
        skip_bias=None if skip is None else skip.bias,
        attention_gain=attention.norm.weight,
        attention_bias=attention.norm.bias,
        map=torch.cat((dynamics.input, dynamics.recurrent)).t(),
        map_bias=dynamics.bias,
        gain=dynamics.gain,
        alpha=dynamics.alpha,
        excite=lateral.excite.t(),
        inhibit=lateral.inhibit.t(),
        retention=retention,
        latent_gain=synchronisation.norm.weight,
        latent_bias=synchronisation.norm.bias,
        **models,  # type: ignore[arg-type]
        **streams,  # type: ignore[arg-type]
    )

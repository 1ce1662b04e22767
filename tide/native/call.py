"""What a call into the native library hands over: structures, shapes, weights and start."""

from __future__ import annotations

from collections.abc import Mapping
from ctypes import Structure, c_double, c_int64, c_void_p
from math import inf
from typing import Any, NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn

from tide.nn.attention import CrossAttention
from tide.nn.dynamics import RMS_EPSILON, DynamicsWeights, WilsonCowan
from tide.nn.lateral import LateralInhibition, LateralWeights
from tide.nn.neuron_models import NeuronModelWeights
from tide.nn.synchrony import Synchrony

# Mirror of ``source/arguments.h``: what a call into the native library hands over, field by field.


STREAMS = 3  # at most
LANES = 16  # samples in a panel

NORMS = {"none": 0, "rms": 1, "rms_cap": 2, "layer": 3}

AnyPointers = TypeVar("AnyPointers", bound="Pointers")


def _numbers(names: str, kind: Any = c_int64) -> list[tuple[str, Any]]:
    return [(name, kind) for name in names.split()]


class Sizes(Structure):
    """Sizes and settings of a call."""

    _fields_ = (
        *_numbers("batch ticks iterations heads head_width positions"),
        *_numbers("neurons excitatory pool hidden memory pairs streams latent"),
        ("stream_pairs", c_int64 * STREAMS),
        *_numbers("norm feedback early_stop keep_ticks states_stay goes_on first_tick history_slots"),
        *_numbers("tolerance clamp attention_epsilon latent_epsilon rms_epsilon", c_double),
    )


class Pointers(Structure):
    """Named addresses of tensors."""

    @classmethod
    def to(cls: type[AnyPointers], tensors: Mapping[str, Tensor | None]) -> AnyPointers:
        """Return the addresses of contiguous tensors; names that are missing or None are null.

        Whoever calls keeps the tensors alive.
        """
        pointers = cls()
        for name, tensor in tensors.items():
            if tensor is None:
                continue
            assert tensor.is_contiguous(), name
            stem, _, number = name.rpartition("_")
            if number.isdigit():
                getattr(pointers, stem)[int(number)] = tensor.data_ptr()
            else:
                assert hasattr(pointers, name), name
                setattr(pointers, name, tensor.data_ptr())
        return pointers


def _pointers(names: str) -> list[tuple[str, Any]]:
    """Return fields of these names: an address each, of ``stream`` and ``stream_bias`` one per stream."""
    streams = ("stream", "stream_bias")
    return [(name, c_void_p * STREAMS if name in streams else c_void_p) for name in names.split()]


class Weights(Pointers):
    """Weights of the forward pass; both passes read some of them."""

    _fields_ = _pointers(
        "left right query query_bias output output_bias skip skip_bias attention_gain attention_bias map map_bias gain "
        "offset alpha excite inhibit first first_bias second second_bias retention stream stream_bias "
        "latent_gain latent_bias"
    )


class Start(Pointers):
    """The image's keys and values, and the state before the first tick."""

    _fields_ = _pointers("keys values sample rates history products latent scale")


class Outcome(Pointers):
    """What a call returns."""

    _fields_ = _pointers("latent sums power iterations euler preactivation attended rates history products")


class Trace(Pointers):
    """Intermediate results."""

    _fields_ = _pointers(
        "query attention read attended_hat attended_scale entering normalised inverse_rms euler inhibited pool "
        "iterations history gated correction corrected entering_products synchrony latent_hat latent_scale "
        "entering_latent"
    )


class Transposed(Pointers):
    """Transposed weights, keys and values of the backward pass."""

    _fields_ = _pointers("query output skip map excite inhibit first stream keys values")


class Arriving(Pointers):
    """Gradients of what :class:`Outcome` returned."""

    _fields_ = _pointers("latent sums power euler preactivation attended rates history products")


class Leaving(Pointers):
    """Gradients that the backward pass returns."""

    _fields_ = _pointers(
        "query score read output map inhibited pool gated correction streams attention_gain attention_bias gain offset "
        "retention latent_gain latent_bias scale rates history products latent first first_bias second second_bias"
    )


class Call(Structure):
    """All of it."""

    _fields_ = (
        ("sizes", Sizes),
        ("weights", Weights),
        ("start", Start),
        ("outcome", Outcome),
        ("trace", Trace),
        ("transposed", Transposed),
        ("arriving", Arriving),
        ("leaving", Leaving),
    )


# What a call into the native loop works on: settings, weights and start, in the shapes that it wants.


class LoopWeights(NamedTuple):
    """The weights of all ticks, rows of matrices first: A the attention's width, h hidden units of a neuron's model.

    ``map`` is [U | W_eff] (D, A + D); ``first`` (D, 2h, M), ``first_bias`` (D, 2h), ``second`` (D, 2, h),
    ``second_bias`` (D, 2), None without neuron models; ``offset`` (D) None but for norm
    ``layer``; ``skip`` None without the attention's residual; untyped pairs have one stream.
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
    offset: Tensor | None
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


def make_plan(
    wilson_cowan: WilsonCowan,
    attention: CrossAttention,
    lateral: LateralInhibition,
    synchronisation: Synchrony,
    *,
    feedback: bool,
) -> Plan:
    """Return the plan of a core in training or eval mode.

    It is the lateral inhibition's own mode: that alone of what the loop runs differs between the two.
    """
    return Plan(
        heads=attention.heads,
        excitatory=wilson_cowan.n_e,
        iterations=lateral.iterations,
        norm=wilson_cowan.norm,
        feedback=feedback,
        early_stop=not lateral.training,
        tolerance=lateral.tolerance,
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
    synchronisation: Synchrony,
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
        offset=dynamics.offset,
        alpha=dynamics.alpha,
        excite=lateral.excite.t(),
        inhibit=lateral.inhibit.t(),
        retention=retention,
        latent_gain=synchronisation.norm.weight,
        latent_bias=synchronisation.norm.bias,
        **models,  # type: ignore[arg-type]
        **streams,  # type: ignore[arg-type]
    )


# Shapes of what the native loop writes: results, intermediate results and gradients.
#
# Intermediate results are (panels, ticks, features, 16): sixteen samples side by side.


Shapes = dict[str, tuple[int, ...]]


def panels_of(batch: int) -> int:
    """Return the number of panels of a batch."""
    return -(-batch // LANES)


def outcome_shapes(s: Sizes) -> Shapes:
    """Per tick: latent state, sums of rates per population, mean of s², lateral iterations; then of the last tick."""
    return {
        "latent": (s.batch, s.ticks, s.latent),
        "sums": (s.batch, s.ticks, 2),
        "power": (s.batch, s.ticks),
        "iterations": (s.batch, s.ticks),
        "euler": (s.batch, s.neurons),
        "preactivation": (s.batch, s.neurons),
        "attended": (s.batch, s.heads * s.head_width),
        "rates": (s.batch, s.neurons),
        "history": (s.neurons, s.batch, s.memory) if s.hidden else (0,),
        "products": (s.batch, s.pairs),
    }


def trace_shapes(s: Sizes, slots: int) -> Shapes:
    """Intermediate results: of every tick where the backward pass wants them, else of one, in so many slots."""
    width, kept = s.heads * s.head_width, s.ticks if s.keep_ticks else 1
    states = kept + 1 if s.keep_ticks else 1
    places = panels_of(s.batch) if s.states_stay else slots
    per_head = (s.batch, s.heads, s.ticks) if s.keep_ticks else (0, 0, 0)
    every = {
        "read": width,
        "attended_hat": width,
        "attended_scale": 1,
        "normalised": s.neurons,
        "inverse_rms": 2,
        "euler": s.neurons,
        "inhibited": (s.iterations + 1) * s.excitatory,
        "pool": s.iterations * s.pool,
        "iterations": 1,
        "gated": s.neurons * 2 * s.hidden,
        "correction": s.neurons * 2 if s.hidden else 0,
        "corrected": 0 if s.feedback else s.neurons,
        "synchrony": s.pairs,
        "latent_hat": s.latent,
        "latent_scale": 1,
    }
    entering = {"entering": width + s.neurons, "entering_products": s.pairs, "entering_latent": s.latent}
    return {
        **{name: (slots, kept, features, LANES) for name, features in every.items()},
        **{name: (places, states, features, LANES) for name, features in entering.items()},
        "history": (places, s.neurons, s.history_slots if s.hidden else 0, LANES),
        "query": (*per_head, s.head_width),
        "attention": (*per_head, s.positions),
    }


def leaving_shapes(s: Sizes) -> Shapes:
    """Gradients of the products' results at every tick, sums over ticks of elementwise weights', and of the start."""
    width, panels = s.heads * s.head_width, panels_of(s.batch)
    every = {
        "query": width,
        "output": width,
        "map": s.neurons,
        "inhibited": s.iterations * s.excitatory,
        "pool": s.iterations * s.pool,
        "gated": s.neurons * 2 * s.hidden,
        "correction": s.neurons * 2 if s.hidden else 0,
        "streams": s.latent,
    }
    summed = {
        "attention_gain": width,
        "attention_bias": width,
        "gain": s.neurons,
        "offset": s.neurons,
        "retention": s.pairs,
        "latent_gain": s.latent,
        "latent_bias": s.latent,
    }
    return {
        **{name: (panels, s.ticks, features, LANES) for name, features in every.items()},
        **{name: (panels, features, LANES) for name, features in summed.items()},
        "scale": (panels, s.ticks, s.pairs),
        "score": (s.batch, s.heads, s.ticks, s.positions),
        "read": (s.batch, s.heads, s.ticks, s.head_width),
    }


def returned_shapes(s: Sizes) -> Shapes:
    """Gradients that go to the caller as they are."""
    return {
        "rates": (s.batch, s.neurons),
        "history": (s.neurons, s.batch, s.memory) if s.hidden else (0,),
        "products": (s.batch, s.pairs),
        "latent": (s.batch, s.latent),
        "first": (s.neurons, 2 * s.hidden, s.memory),
        "first_bias": (s.neurons, 2 * s.hidden),
        "second": (s.neurons, 2, s.hidden),
        "second_bias": (s.neurons, 2),
    }

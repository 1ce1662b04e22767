"""The native loop as one differentiable function of its weights and of the state that it starts from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tide.native.arguments import Arriving, Call, Leaving, Outcome, Sizes, Start, Trace, Transposed, Weights
from tide.native.library import Library, threads_for
from tide.native.plan import LoopStart, LoopWeights, Plan
from tide.native.shapes import leaving_shapes, outcome_shapes, panels_of, returned_shapes, trace_shapes
from tide.native.workspace import views, workspace

NAMES = (*LoopStart._fields, *LoopWeights._fields)


class LoopOutcome(NamedTuple):
    """What a loop returns.

    Of every tick: the latent state (B, T, d_z), the sums of excitatory and inhibitory rates (B, T, 2), the mean of s²
    and the lateral iterations (B, T). Of the last tick: rates after the Euler step and pre-activations (B, D), what was
    attended (B, A). The state after it: rates, history and products, in the shapes of :class:`LoopStart`.
    """

    latent: Tensor
    sums: Tensor
    power: Tensor
    iterations: Tensor
    euler: Tensor
    preactivation: Tensor
    attended: Tensor
    rates: Tensor
    history: Tensor
    products: Tensor


def run_loop(library: Library, plan: Plan, weights: LoopWeights, start: LoopStart) -> LoopOutcome:
    """Run as many ticks as ``start.scale`` has; keeps intermediate results only where a gradient will want them."""
    tensors = (*start, *weights)
    if torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors):
        return LoopOutcome(*_Loop.apply(library, plan, *tensors))  # type: ignore[no-untyped-call]
    return _forward(library, plan, start, weights, keep=False)[0]


def weight_pointers(plan: Plan, weights: LoopWeights) -> tuple[Weights, list[Tensor]]:
    """Return the addresses of the weights and the contiguous tensors that must outlive their use."""
    held = {name: None if tensor is None else tensor.contiguous() for name, tensor in weights._asdict().items()}
    held |= {"left": plan.left.contiguous(), "right": plan.right.contiguous()}
    return Weights.to(held), [tensor for tensor in held.values() if tensor is not None]


def _forward(
    library: Library, plan: Plan, start: LoopStart, weights: LoopWeights, *, keep: bool
) -> tuple[LoopOutcome, Tensor]:
    """Return what the loop returns and the block of its intermediate results."""
    sizes = plan.sizes(weights, start)
    sizes.keep_ticks = keep
    panels = panels_of(sizes.batch)
    like = start.keys
    outcome = {name: like.new_empty(shape) for name, shape in outcome_shapes(sizes).items()}
    slots = panels if keep else threads_for(panels)
    shapes = trace_shapes(sizes, slots)
    block = workspace.block(shapes, like.dtype)
    pointers, _held = weight_pointers(plan, weights)
    given = {name: tensor.contiguous() for name, tensor in start._asdict().items()}
    call = Call(
        sizes=sizes,
        weights=pointers,
        start=Start.to(given),
        outcome=Outcome.to(outcome),
        trace=Trace.to(views(block, shapes)),
    )
    library.forward(call, panels, slots=None if keep else slots)
    return LoopOutcome(**outcome), block


class _Loop(torch.autograd.Function):
    """Back-propagation through time by hand; matrices get their gradients from one product each over all ticks."""

    @staticmethod
    def forward(ctx: Any, library: Library, plan: Plan, *tensors: Tensor) -> tuple[Tensor, ...]:
        start = LoopStart(*tensors[: len(LoopStart._fields)])
        weights = LoopWeights(*tensors[len(LoopStart._fields) :])
        outcome, block = _forward(library, plan, start, weights, keep=True)
        ctx.library, ctx.plan = library, plan
        # Saved, not kept as an attribute: recomputation and graphs that are walked twice see it as any other tensor.
        ctx.save_for_backward(block, *tensors)
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(outcome.iterations)
        return tuple(outcome)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        block, *tensors = ctx.saved_tensors
        start = LoopStart(*tensors[: len(LoopStart._fields)])
        weights = LoopWeights(*tensors[len(LoopStart._fields) :])
        wanted = {name for name, needed in zip(NAMES, ctx.needs_input_grad[2:], strict=True) if needed}
        arriving = dict(zip(LoopOutcome._fields, gradients, strict=True))
        found = _backward(ctx.library, ctx.plan, start, weights, block, arriving, wanted)
        return (None, None, *(found.get(name) if name in wanted else None for name in NAMES))


def _backward(
    library: Library,
    plan: Plan,
    start: LoopStart,
    weights: LoopWeights,
    block: Tensor,
    arriving: Mapping[str, Tensor | None],
    wanted: set[str],
) -> dict[str, Tensor]:
    """Return the gradients that are wanted, by the names of :class:`LoopStart` and :class:`LoopWeights`."""
    sizes = plan.sizes(weights, start)
    sizes.keep_ticks = True
    panels = panels_of(sizes.batch)
    trace = views(block, trace_shapes(sizes, panels))
    leaving = workspace.tensors(leaving_shapes(sizes), block.dtype)
    returned = {name: block.new_empty(shape) for name, shape in returned_shapes(sizes).items()}
    pointers, _held = weight_pointers(plan, weights)
    transposed = {name: tensor.transpose(-1, -2).contiguous() for name, tensor in _matrices(start, weights).items()}
    given = {
        name: None if gradient is None else gradient.contiguous()
        for name, gradient in arriving.items()
        if name != "iterations"
    }
    scale = start.scale.contiguous()
    call = Call(
        sizes=sizes,
        weights=pointers,
        start=Start.to({"scale": scale}),
        trace=Trace.to(trace),
        transposed=Transposed.to(transposed),
        arriving=Arriving.to(given),
        leaving=Leaving.to(leaving | returned),
    )
    library.backward(call, panels, sizes.neurons if sizes.hidden else 0)
    return returned | _products(sizes, trace, leaving, wanted)


def _matrices(start: LoopStart, weights: LoopWeights) -> dict[str, Tensor]:
    names = ("query", "output", "skip", "map", "excite", "inhibit", "first", "stream_0", "stream_1", "stream_2")
    found = {name: getattr(weights, name) for name in names}
    return {name: value for name, value in found.items() if value is not None} | {
        "keys": start.keys,
        "values": start.values,
    }


def _products(
    s: Sizes, trace: Mapping[str, Tensor], leaving: Mapping[str, Tensor], wanted: set[str]
) -> dict[str, Tensor]:
    """One product per matrix: gradients of its results at all ticks times its inputs at all ticks."""
    ticks, found = s.ticks, {}
    by_head = (s.batch * s.heads, ticks, -1)
    if "keys" in wanted:
        g_keys = trace["query"].view(by_head).transpose(1, 2) @ leaving["score"].view(by_head)
        found["keys"] = g_keys.view(s.batch, s.heads, s.head_width, s.positions)
    if "values" in wanted:
        g_values = trace["attention"].view(by_head).transpose(1, 2) @ leaving["read"].view(by_head)
        found["values"] = g_values.view(s.batch, s.heads, s.positions, s.head_width)
    for name in ("attention_gain", "attention_bias", "gain", "retention", "latent_gain", "latent_bias"):
        found[name] = leaving[name].sum((0, 2))
    found["scale"] = leaving["scale"].sum(0)

    latent = _Columns(lambda: trace["entering_latent"][:, :ticks])
    g_output, g_map = _Columns(lambda: leaving["output"]), _Columns(lambda: leaving["map"])
    g_query = _Columns(lambda: leaving["query"])
    iterated = (len(trace["inhibited"]), ticks, -1, s.excitatory, trace["inhibited"].shape[-1])
    pooled = (*iterated[:3], s.pool, iterated[4])
    inhibited = trace["inhibited"].view(iterated)[:, :, : s.iterations]
    terms: dict[str, tuple[_Columns, _Columns]] = {
        "query": (g_query, latent),
        "output": (g_output, _Columns(lambda: trace["read"])),
        "skip": (g_output, latent),
        "map": (g_map, _Columns(lambda: trace["entering"][:, :ticks])),
        "excite": (_Columns(lambda: leaving["pool"].view(pooled)), _Columns(lambda: inhibited)),
        "inhibit": (
            _Columns(lambda: leaving["inhibited"].view(iterated)),
            _Columns(lambda: trace["pool"].view(pooled)),
        ),
    }
    width, first = s.latent // s.streams, 0
    for number in range(s.streams):
        pairs = slice(first, first := first + s.stream_pairs[number])
        features = slice(number * width, (number + 1) * width)
        terms[f"stream_{number}"] = (
            _Columns(partial(_part, leaving["streams"], features)),
            _Columns(partial(_part, trace["synchrony"], pairs)),
        )
        if f"stream_bias_{number}" in wanted:
            found[f"stream_bias_{number}"] = terms[f"stream_{number}"][0].matrix.sum(1)
    unused = ("excite", "inhibit") if s.iterations == 0 else ()  # no gradient, as in eager
    for name, (gradient, inputs) in terms.items():
        if name in wanted and name not in unused:
            found[name] = gradient.matrix @ inputs.matrix.t()
    for name, gradient in {"query": g_query, "output": g_output, "skip": g_output, "map": g_map}.items():
        if f"{name}_bias" in wanted:
            found[f"{name}_bias"] = gradient.matrix.sum(1)
    return found


def _part(values: Tensor, features: slice) -> Tensor:
    return values[:, :, features]


class _Columns:
    """(panels, ticks, ..., features, 16) as one row per feature, copied when first asked for."""

    def __init__(self, values: Callable[[], Tensor]) -> None:
        self._values = values
        self._matrix: Tensor | None = None

    @property
    def matrix(self) -> Tensor:
        """Return (features, panels · ticks · ... · 16)."""
        if self._matrix is None:
            values = self._values()
            turned = values.movedim(-2, 0)
            into = workspace.tensors({"columns": tuple(turned.shape)}, values.dtype)["columns"]
            self._matrix = into.copy_(turned).view(into.shape[0], -1)
        return self._matrix

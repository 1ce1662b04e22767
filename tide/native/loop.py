"""The native loop as one differentiable function of its weights and of the state that it starts from."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Mapping
from math import prod
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.amp import custom_bwd, custom_fwd
from torch.autograd.function import once_differentiable

from tide.native.call import (
    Arriving,
    Call,
    Leaving,
    LoopStart,
    LoopWeights,
    Outcome,
    Plan,
    Sizes,
    Start,
    Trace,
    Transposed,
    Weights,
    leaving_shapes,
    outcome_shapes,
    panels_of,
    returned_shapes,
    trace_shapes,
)
from tide.native.library import Library, threads_for

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
    entering = {name: tensor.contiguous() for name, tensor in start._asdict().items()}
    call = Call(
        sizes=sizes,
        weights=pointers,
        start=Start.to(entering),
        outcome=Outcome.to(outcome),
        trace=Trace.to(views(block, shapes)),
    )
    library.forward(call, panels, slots=None if keep else slots)
    return LoopOutcome(**outcome), block


class _Loop(torch.autograd.Function):
    """Back-propagation through time by hand; matrices get their gradients from one product each over all ticks."""

    @staticmethod
    @custom_fwd(device_type="cpu")  # type: ignore[untyped-decorator]
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
    @custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        block, *tensors = ctx.saved_tensors
        start = LoopStart(*tensors[: len(LoopStart._fields)])
        weights = LoopWeights(*tensors[len(LoopStart._fields) :])
        names = {name for name, needed in zip(NAMES, ctx.needs_input_grad[2:], strict=True) if needed}
        arriving = dict(zip(LoopOutcome._fields, gradients, strict=True))
        computed = _backward(ctx.library, ctx.plan, start, weights, block, arriving, names)
        return (None, None, *(computed.get(name) if name in names else None for name in NAMES))


def _backward(
    library: Library,
    plan: Plan,
    start: LoopStart,
    weights: LoopWeights,
    block: Tensor,
    arriving: Mapping[str, Tensor | None],
    names: set[str],
) -> dict[str, Tensor]:
    """Return gradients by ``names``, those of :class:`LoopStart` and :class:`LoopWeights`."""
    sizes = plan.sizes(weights, start)
    sizes.keep_ticks = True
    panels = panels_of(sizes.batch)
    trace = views(block, trace_shapes(sizes, panels))
    leaving = workspace.tensors(leaving_shapes(sizes), block.dtype)
    returned = {name: block.new_empty(shape) for name, shape in returned_shapes(sizes).items()}
    pointers, _held = weight_pointers(plan, weights)
    transposed = {name: tensor.transpose(-1, -2).contiguous() for name, tensor in _matrices(start, weights).items()}
    contiguous = {
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
        arriving=Arriving.to(contiguous),
        leaving=Leaving.to(leaving | returned),
    )
    library.backward(call, panels, sizes.neurons if sizes.hidden else 0)
    return returned | _products(sizes, trace, leaving, names)


def _matrices(start: LoopStart, weights: LoopWeights) -> dict[str, Tensor]:
    names = ("query", "output", "skip", "map", "excite", "inhibit", "first", "stream_0", "stream_1", "stream_2")
    matrices = {name: getattr(weights, name) for name in names} | {"keys": start.keys, "values": start.values}
    return {name: value for name, value in matrices.items() if value is not None}


def _products(
    s: Sizes, trace: Mapping[str, Tensor], leaving: Mapping[str, Tensor], names: set[str]
) -> dict[str, Tensor]:
    """One product per matrix: gradients of its results at all ticks times its inputs at all ticks."""
    ticks, gradients = s.ticks, {}
    by_head = (s.batch * s.heads, ticks, -1)
    if "keys" in names:
        g_keys = trace["query"].view(by_head).transpose(1, 2) @ leaving["score"].view(by_head)
        gradients["keys"] = g_keys.view(s.batch, s.heads, s.head_width, s.positions)
    if "values" in names:
        g_values = trace["attention"].view(by_head).transpose(1, 2) @ leaving["read"].view(by_head)
        gradients["values"] = g_values.view(s.batch, s.heads, s.positions, s.head_width)
    for name in ("attention_gain", "attention_bias", "gain", "offset", "retention", "latent_gain", "latent_bias"):
        gradients[name] = leaving[name].sum((0, 2))
    gradients["scale"] = leaving["scale"].sum(0)

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
            _Columns(lambda features=features: leaving["streams"][:, :, features]),  # type: ignore[misc]
            _Columns(lambda pairs=pairs: trace["synchrony"][:, :, pairs]),  # type: ignore[misc]
        )
        if f"stream_bias_{number}" in names:
            gradients[f"stream_bias_{number}"] = terms[f"stream_{number}"][0].matrix.sum(1)
    unused = ("excite", "inhibit") if s.iterations == 0 else ()  # no gradient, as in eager
    for name, (gradient, inputs) in terms.items():
        if name in names and name not in unused:
            gradients[name] = gradient.matrix @ inputs.matrix.t()
    for name, gradient in {"query": g_query, "output": g_output, "skip": g_output, "map": g_map}.items():
        if f"{name}_bias" in names:
            gradients[f"{name}_bias"] = gradient.matrix.sum(1)
    return gradients


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


# Some ticks at a time without gradient, for samples that leave when they are done.


IDLE = 1 / 8  # share of panels worth closing the ranks for
PER_TICK = ("latent", "sums", "power", "iterations")


class Panels:
    """The state of many samples, held in panels between calls.

    A sample that leaves frees its lane; lanes close ranks only once enough panels come free, since moving the history
    costs about as much as a tick. Keys and values stay where they are.
    """

    def __init__(self, library: Library, plan: Plan, weights: LoopWeights, start: LoopStart) -> None:
        """``start.scale`` (T, P) is 1/√N of all ticks that may come."""
        self._library = library
        self._start = LoopStart(*(tensor.contiguous() for tensor in start))
        pointers, self._held = weight_pointers(plan, weights)
        sizes = plan.sizes(weights, start)
        sizes.states_stay = True
        panels = panels_of(sizes.batch)
        self._slots = threads_for(panels)
        self._trace = workspace.tensors(trace_shapes(sizes, self._slots), start.keys.dtype)
        self._call = Call(sizes=sizes, weights=pointers, trace=Trace.to(self._trace))
        self._sample = torch.arange(sizes.batch)  # the sample of each lane, -1 where it has left
        self._lane = torch.arange(sizes.batch)  # the lane of each sample that goes on

    def advance(self, ticks: int) -> LoopOutcome:
        """Run ticks; return what they computed for the samples that go on, in their order.

        Of the outcome only what is given per tick is defined.
        """
        sizes = self._call.sizes
        scale = self._start.scale[sizes.first_tick : sizes.first_tick + ticks]
        sizes.ticks = len(scale)
        shapes = outcome_shapes(sizes)
        outcome = {name: scale.new_empty(shapes[name] if name in PER_TICK else (0,)) for name in shapes}
        self._call.start = Start.to(self._start._asdict() | {"scale": scale, "sample": self._sample})
        self._call.outcome = Outcome.to({name: outcome[name] for name in PER_TICK})
        panels = panels_of(sizes.batch)
        self._library.forward(self._call, panels, slots=min(self._slots, panels))
        sizes.goes_on = True
        sizes.first_tick += len(scale)
        if len(self._lane) < sizes.batch:
            outcome |= {name: outcome[name][self._lane] for name in PER_TICK}
        return LoopOutcome(**outcome)

    def keep(self, index: Tensor) -> None:
        """Let all samples go but those at ``index`` (kept,), ascending, among those that :meth:`advance` returned."""
        sizes = self._call.sizes
        lane = self._lane[index]
        sample = self._sample[lane]
        self._sample[self._lane] = -1
        self._sample[lane] = sample
        self._lane = lane
        held, needed = panels_of(sizes.batch), panels_of(len(index))
        if held - needed >= max(1, IDLE * held):
            self._close_ranks()

    def _close_ranks(self) -> None:
        sizes, trace = self._call.sizes, self._trace
        width = sizes.heads * sizes.head_width
        state = [trace["entering"][:, :, width:], trace["entering_products"], trace["entering_latent"]]
        if sizes.hidden:
            # What the next tick sees of the history but its own newest entry.
            state.append(trace["history"][:, :, sizes.first_tick + 1 : sizes.first_tick + sizes.memory])
        for rows in state:
            self._library.compact(rows, self._lane)
        self._sample = self._sample[self._lane]
        sizes.batch = len(self._lane)
        self._lane = torch.arange(sizes.batch)


# Memory that is used again: what a training step saves for its backward pass is as large at the next step.
#
# Fresh memory costs a page fault for every 4 KiB that are first touched, some 18,000 in a step of preset ``mnist``.


ALIGNMENT = 64  # bytes: a row of sixteen float32
BLOCK = 2**21  # sizes are rounded up to this many bytes, so that nearly equal needs share a block

Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]


class Workspace:
    """Lends blocks of memory as tensors; a block comes back when the last tensor that views it is gone.

    Whoever holds a tensor keeps its block, so any number of graphs may be alive at once. What lies idle is never more
    than was lent at once before.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._free: list[Bytes] = []
        self._returned: deque[Bytes] = deque()
        self._lent = self._most = 0

    def tensors(self, shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype) -> dict[str, Tensor]:
        """Return uninitialised tensors of these shapes that share one block."""
        return views(self.block(shapes, dtype), shapes)

    def block(self, shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype) -> Tensor:
        """Return one uninitialised tensor that :func:`views` cuts into tensors of these shapes."""
        count = sum(_places(shape) for shape in shapes.values())
        raw = self._take(max(1, count) * dtype.itemsize)
        # A view of its own: the storage keeps it alive, and its end is the end of the storage.
        held = raw[:]
        weakref.finalize(held, self._returned.append, raw).atexit = False
        return torch.from_numpy(held).view(dtype)[:count]

    def _take(self, size: int) -> Bytes:
        size = -(-size // BLOCK) * BLOCK
        with self._lock:
            while self._returned:  # finalisers only append: they may run anywhere, also while the lock is held
                block = self._returned.popleft()
                self._lent -= block.nbytes
                self._free.append(block)
            fitting = next((at for at, block in enumerate(self._free) if block.nbytes == size), None)
            taken = self._free.pop(fitting) if fitting is not None else None
            self._lent += size
            self._most = max(self._most, self._lent)
            while sum(block.nbytes for block in self._free) > self._most:
                self._free.pop(0)
        return taken if taken is not None else np.empty(size, np.uint8)


def views(block: Tensor, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Cut a block into named tensors, in order."""
    tensors, at = {}, 0
    for name, shape in shapes.items():
        tensors[name] = block[at : at + prod(shape)].view(shape)
        at += _places(shape)
    return tensors


def _places(shape: tuple[int, ...]) -> int:
    return -(-prod(shape) // ALIGNMENT) * ALIGNMENT


workspace = Workspace()

"""One tick at a time without gradient, for samples that leave when they are done."""

from __future__ import annotations

import torch
from torch import Tensor

from tide.native.arguments import Call, Outcome, Start, Trace
from tide.native.library import LANES, Library
from tide.native.loop import LoopOutcome, weight_pointers
from tide.native.plan import LoopStart, LoopWeights, Plan
from tide.native.shapes import outcome_shapes, panels_of, trace_shapes
from tide.native.workspace import workspace

IDLE = 1 / 8  # share of panels worth closing the ranks for


class Panels:
    """The state of many samples, held in panels between ticks.

    A sample that leaves frees its lane; lanes close ranks only once enough panels come free, since moving the history
    costs about as much as a tick. Keys and values stay where they are.
    """

    def __init__(self, library: Library, plan: Plan, weights: LoopWeights, start: LoopStart, ticks: int) -> None:
        """``start.scale`` may be empty: each tick brings its own; ``ticks`` bounds their number."""
        self._library, self._ticks = library, ticks
        self._held = [tensor.contiguous() for tensor in start]
        self._start = LoopStart(*self._held)
        pointers, weight_tensors = weight_pointers(plan, weights)
        self._held += weight_tensors
        sizes = plan.sizes(weights, self._start._replace(scale=start.scale.new_empty(1, len(weights.retention))))
        sizes.history_slots = sizes.memory + ticks
        self._trace = workspace.tensors(trace_shapes(sizes, panels_of(sizes.batch)), start.keys.dtype)
        self._call = Call(sizes=sizes, weights=pointers, trace=Trace.to(self._trace))
        self._sample = torch.arange(sizes.batch)  # the sample of each lane, -1 where it has left
        self._lane = torch.arange(sizes.batch)  # the lane of each sample that goes on

    def advance(self, scale: Tensor) -> LoopOutcome:
        """Run one tick with 1/√N (1, P); return what it computed for the samples that go on, in their order.

        Of the outcome only what is given per tick is defined.
        """
        sizes = self._call.sizes
        assert sizes.first_tick < self._ticks
        shapes = outcome_shapes(sizes)
        per_tick = ("latent", "sums", "power", "iterations")
        found = {name: scale.new_empty(shape if name in per_tick else (0,)) for name, shape in shapes.items()}
        scale = scale.contiguous()
        self._call.start = Start.to(self._start._asdict() | {"scale": scale, "sample": self._sample})
        self._call.outcome = Outcome.to({name: found[name] for name in per_tick})
        self._library.forward(self._call, panels_of(sizes.batch))
        sizes.goes_on = True
        sizes.first_tick += 1
        if len(self._lane) < sizes.batch:
            found |= {name: found[name][self._lane] for name in per_tick}
        return LoopOutcome(**found)

    def keep(self, index: Tensor) -> None:
        """Let all samples go but those at ``index`` (kept,), ascending, among those that :meth:`advance` returned."""
        sizes = self._call.sizes
        left = self._lane.clone()
        self._lane = self._lane[index]
        samples = self._sample[self._lane]
        self._sample[left] = -1
        self._sample[self._lane] = samples
        held, needed = panels_of(sizes.batch), panels_of(len(index))
        if held - needed < max(1, IDLE * held):
            return
        trace, neurons, width = self._trace, sizes.neurons, sizes.heads * sizes.head_width
        state = [
            trace["entering"][:, :, width:],
            trace["entering_products"],
            trace["entering_latent"],
        ]
        if sizes.hidden:
            # The oldest entry of what the next tick sees stands one place behind the tick's number.
            state.append(trace["history"][:, :, sizes.first_tick + 1 : sizes.first_tick + sizes.memory])
        for rows in state:
            self._library.compact(rows, self._lane, len(self._lane))
        assert neurons
        self._sample = samples.clone()
        sizes.batch = len(samples)
        self._lane = torch.arange(sizes.batch)


def empty_lanes(samples: int) -> int:
    """Return how many lanes of the last panel nobody uses."""
    return panels_of(samples) * LANES - samples

"""Some ticks at a time without gradient, for samples that leave when they are done."""

from __future__ import annotations

import torch
from torch import Tensor

from tide.native.arguments import Call, Outcome, Start, Trace
from tide.native.library import Library, threads_for
from tide.native.loop import LoopOutcome, weight_pointers
from tide.native.plan import LoopStart, LoopWeights, Plan
from tide.native.shapes import outcome_shapes, panels_of, trace_shapes
from tide.native.workspace import workspace

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
        found = {name: scale.new_empty(shapes[name] if name in PER_TICK else (0,)) for name in shapes}
        self._call.start = Start.to(self._start._asdict() | {"scale": scale, "sample": self._sample})
        self._call.outcome = Outcome.to({name: found[name] for name in PER_TICK})
        panels = panels_of(sizes.batch)
        self._library.forward(self._call, panels, slots=min(self._slots, panels))
        sizes.goes_on = True
        sizes.first_tick += len(scale)
        if len(self._lane) < sizes.batch:
            found |= {name: found[name][self._lane] for name in PER_TICK}
        return LoopOutcome(**found)

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

"""The read-out of a whole thought at once: for whoever runs all ticks it costs a quarter of reading tick by tick."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tide.export.graphs import Graph
from tide.export.inputs import example_of
from tide.heads import arranged, certainty
from tide.models.thinker import Thinker


class Whole(nn.Module):
    """Quantities stacked over all ticks, (B, T, ...) each, to logits (B, C, *S, T) and certainty (B, T)."""

    def __init__(self, model: Thinker) -> None:
        super().__init__()
        self.cell, self.output = model.cell, model.config.output

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and certainty."""
        reading = self.cell.readout(dict(zip(self.cell.needed, inputs, strict=True)))
        logits = arranged(reading.logits, self.output)
        return logits, certainty(logits)


def whole(model: Thinker) -> Graph:
    """Return the read-out of as many ticks as the model has; raises as :func:`~tide.export.graphs.graphs` does."""
    with torch.no_grad():
        out = model.eval()(example_of(model.config, 2), record=model.cell.needed)
    inputs = {name: out.trace[name] for name in model.cell.needed}
    return Graph(Whole(model), inputs, ("logits", "certainty"), dict.fromkeys(inputs, 0))

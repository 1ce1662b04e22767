"""The pictures of ``tide robustness``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from tide.data import to_float
from tide.plots.robustness import draw_differences, draw_severity, draw_sheet
from tide.studies.robustness import Shift, Suite
from tide.studies.robustness_report import Answers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXAMPLES = 6  # images on the sheet, of different classes
SHOWN_SEVERITY = 3  # or the nearest that a shift has


def figures_of(result: Mapping[str, Any], answers: Answers, suite: Suite) -> dict[str, Callable[[], Figure]]:
    """Return what draws the pictures of a result, by the name of their file."""
    figures: dict[str, Callable[[], Figure]] = {
        "differences.png": partial(draw_differences, result),
        "sheet.png": partial(_sheet, answers, suite),
    }
    if "restricted" in result:
        part = {**result, "models": result["restricted"]["models"]}
        figures["restricted.png"] = partial(draw_differences, part, among=result["restricted"]["classes"])
    if any(levels != [None] for levels in result["shifts"].values()):
        figures["severity.png"] = partial(draw_severity, result)
    return figures


def _sheet(answers: Answers, suite: Suite) -> Figure:
    """Draw the first image of each of some classes under every shift, with what the models answered."""
    images, said, truths = {}, {}, {}
    for shift in _shown(suite):
        cells = {name: cells[shift] for name, cells in answers.items()}
        labels = next(iter(cells.values())).label
        places = torch.stack([(labels == label).nonzero()[0, 0] for label in torch.unique(labels)[:EXAMPLES]])
        some = suite.images(shift, next(iter(cells.values())).positions[places])
        images[shift.label] = [
            picture.permute(1, 2, 0).numpy() for picture in to_float(some.select(slice(None)).images)
        ]
        truths[shift.label] = [some.classes[int(label)] for label in labels[places]]
        said[shift.label] = [
            {name: some.classes[int(cell.answer[place])] for name, cell in cells.items()} for place in places
        ]
    return draw_sheet(images, said, truths)


def _shown(suite: Suite) -> list[Shift]:
    """Return each shift at the severity nearest to the middle one, the lesser of two as near."""
    nearest: dict[str, Shift] = {}
    for shift in sorted(suite.shifts, key=lambda s: abs((s.severity or SHOWN_SEVERITY) - SHOWN_SEVERITY)):
        nearest.setdefault(shift.name, shift)
    return [shift for shift in suite.shifts if nearest[shift.name] == shift]

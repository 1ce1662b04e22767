"""How far shifted images move the recurrence from stability: the spectral radius of a tick's Jacobian, by shift."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from tide.analysis.jacobian import Tick
from tide.analysis.states import follow
from tide.data import ImageSet, to_float
from tide.models.thinker import Thinker
from tide.models.tide import TideCell
from tide.studies.robustness import CLEAN, Asked, Shift, Suite
from tide.studies.robustness_report import Answers


def has_jacobian(model: Thinker) -> bool:
    """Return whether the analysis exists for a model: for those with excitatory and inhibitory populations."""
    return isinstance(model.cell, TideCell)


def radii_under_shift(
    models: Sequence[Asked],
    suite: Suite,
    answers: Answers,
    count: int,
    *,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> dict[str, Any]:
    """Return the Jacobian's radius of TIDE models on a few images of each shift at its greatest severity, and clean.

    Args:
        models: the models; others than TIDE are left out.
        suite: the shifted images.
        answers: those of the models, which say what images can be read.
        count: images of each shift, spread evenly over it; the same of every shift where all shifts have the same.
        progress: called with (what is looked at, measurements done, measurements in all) before each.

    Returns:
        ``images`` and, in ``models``, by name and shift what :func:`radii` gives.
    """
    analysed = [asked for asked in models if has_jacobian(asked.model)]
    shifts = hardest(suite)
    measured: dict[str, dict[str, Any]] = {asked.name: {} for asked in analysed}
    for number, shift in enumerate(shifts):
        positions = answers[analysed[0].name][shift].positions
        chosen = positions[torch.linspace(0, len(positions) - 1, min(count, len(positions))).round().long()]
        images = to_float(_images(suite, shift, chosen).images)
        for place, asked in enumerate(analysed):
            done = number * len(analysed) + place
            progress(f"Jacobian, {shift.label}, {asked.name}", done, len(shifts) * len(analysed))
            measured[asked.name][shift.name] = radii(asked.model, images)
    return {"images": count, "models": measured}


def hardest(suite: Suite) -> list[Shift]:
    """Return every shift at its greatest severity, the clean images first where the suite has them."""
    worst: dict[str, Shift] = {"": CLEAN} if suite.clean is not None else {}
    for shift in suite.shifts:
        if shift.name not in worst or (shift.severity or 0) > (worst[shift.name].severity or 0):
            worst[shift.name] = shift
    return list(worst.values())


def _images(suite: Suite, shift: Shift, positions: Tensor) -> ImageSet:
    if shift == CLEAN:
        assert suite.clean is not None
        found: ImageSet = suite.clean.select(positions)
    else:
        found = suite.images(shift, positions).select(slice(None))
    return found


def radii(model: Thinker, images: Tensor) -> dict[str, float]:
    """Return the spectral radius at the last tick on images (B, C, H, W) in [0, 1].

    As in ``tide stability``: ``rates``, ∂(rates)/∂(rates) with attention and history held, mean and ends over all
    images; ``core``, with the history of the neuron-level models as part of the state, of the first image only, since
    it takes a hundred times as long.
    """
    exact = deepcopy(model).cpu().double()
    states = follow(exact, images.cpu().double()).states[-1]
    rows = [states.rows(torch.tensor([place])) for place in range(len(images))]
    rates = [Tick(exact, row, "rates").spectral_radius() for row in rows]
    return {
        "mean": fmean(rates),
        "least": min(rates),
        "most": max(rates),
        "core": float(Tick(exact, rows[0], "core").eigenvalues(leading=1).abs().max()),
    }


def jacobian_markdown(part: Mapping[str, Any]) -> str:
    """Return the section on the Jacobian as Markdown, of what :func:`radii_under_shift` gave."""
    models = part["models"]
    lines = [
        "",
        "## Jacobian under shift",
        "",
        "Spectral radius of ∂r/∂r at the last tick, attention and history held, mean (least to most) of "
        f"{part['images']} images at the greatest severity; in brackets that of the recurrence with its history, first "
        "image.",
        "",
        f"| shift | {' | '.join(models)} |",
        "|---" * (1 + len(models)) + "|",
    ]
    for shift in next(iter(models.values())):
        cells = [
            f"{row['mean']:.4f} ({row['least']:.4f} to {row['most']:.4f}) [{row['core']:.4f}]"
            for row in (model[shift] for model in models.values())
        ]
        lines.append(f"| {shift} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"

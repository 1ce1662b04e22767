"""Corrupted images side by side, to be looked at before their scores are believed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tide.corruptions import CORRUPTIONS, EXTRA, SEVERITIES, corrupt
from tide.plots.attention import show_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_corruptions(
    images: Tensor, *, names: Sequence[str] = (*CORRUPTIONS, *EXTRA), seed: int = 0, indices: Tensor | None = None
) -> Figure:
    """Draw a row for each corruption and a column for no corruption and each severity.

    Args:
        images: shown next to one another in each cell, uint8, shape (N, 1 or 3, H, W).
        names: the corruptions to show.
        seed: as for :func:`~tide.corruptions.corrupt`.
        indices: as there; with those of the data set the sheet shows what an evaluation sees.

    Returns:
        The figure.

    Raises:
        DataError: a name is unknown or the images are of another type or shape.
    """
    from matplotlib.figure import Figure

    shape = (len(names), 1 + len(SEVERITIES))
    cell = 1.1 * images.shape[3] / images.shape[2]
    figure = Figure(figsize=(1.3 + len(images) * cell * shape[1], 0.25 + 1.15 * shape[0]), layout="constrained")
    cells = figure.subplots(*shape, squeeze=False)
    for axes, severity in zip(cells[0], (0, *SEVERITIES), strict=True):
        axes.set_title(f"severity {severity}" if severity else "clean", fontsize=9)
    for row, name in zip(cells, names, strict=True):
        _strip(row[0], images)
        row[0].text(
            -0.03, 0.5, name.replace("_", "\n"), fontsize=9, ha="right", va="center", transform=row[0].transAxes
        )
        for axes, severity in zip(row[1:], SEVERITIES, strict=True):
            _strip(axes, corrupt(images, name, severity, seed=seed, indices=indices))
    return figure


def _strip(axes: Axes, images: Tensor) -> None:
    strip = torch.cat(list(images), dim=2).permute(1, 2, 0)
    show_image(axes, strip.double().div(255).numpy())

"""What several pictures share: axes, images and the attention paid to them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes


COLOURS = ("#c0392b", "#2d6ca2", "#4c9a5b", "#8e5aa8", "#b8860b", "#555555")
"""Of several models in one picture, in order."""

# What the axes of several pictures have in common.


def whole_numbers(axes: Axes) -> None:
    """Let the horizontal axis, of ticks or steps, have marks at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))


def headroom(axes: Axes, share: float) -> None:
    """Leave a share of the height free above all curves, for a legend."""
    low, high = axes.get_ylim()
    scale = axes.yaxis.get_transform()
    bottom, top = scale.transform([low, high])
    axes.set_ylim(low, float(scale.inverted().transform([bottom + (top - bottom) / (1 - share)])[0]))


# Images and the attention paid to them: what several pictures share.


Array = npt.NDArray[Any]
PANELS = 6  # ticks at which attention is shown


def attention_maps(attention: Tensor) -> Array:
    """Return one sample's attention (T, heads, positions) as maps on the grid of tokens, mean over heads.

    Shape (T, rows, columns), see :func:`grid`.
    """
    mean: Array = attention.detach().cpu().double().mean(1).numpy()
    return mean.reshape(-1, *grid(mean.shape[1]))


def grid(positions: int) -> tuple[int, int]:
    """Return the rows and columns of so many tokens: a square, or the rectangle nearest to one, the wider side last."""
    rows = next(side for side in range(math.isqrt(positions), 0, -1) if positions % side == 0)
    return rows, positions // rows


def shown_ticks(ticks: int) -> list[int]:
    """Return the ticks (0-based) at which attention is shown, spread over a thought, the first and last among them."""
    return [int(tick) for tick in np.linspace(0, ticks - 1, min(ticks, PANELS)).round()]


def show_image(axes: Axes, image: Array) -> None:
    """Show an image (H, W, 1 or 3) in [0, 1]."""
    height, width, channels = image.shape
    grey = channels == 1
    axes.imshow(
        image[:, :, 0] if grey else image,
        cmap="gray" if grey else None,
        vmin=0,
        vmax=1,
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
    )
    axes.set_axis_off()


def show_attention(axes: Axes, image: Array, attention: Array, highest: float) -> None:
    """Show attention (rows, columns), coloured up to ``highest``, over an image (H, W, 1 or 3) in [0, 1]."""
    show_image(axes, image)
    height, width = image.shape[:2]
    axes.imshow(
        attention,
        cmap="magma",
        vmin=0,
        vmax=highest,
        alpha=0.65,
        interpolation="bilinear",
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
    )

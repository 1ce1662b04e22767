"""What the axes of several pictures have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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

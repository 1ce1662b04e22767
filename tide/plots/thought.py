"""One image, thought through: attention, firing rates, certainty, synchrony over ticks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from torch import Tensor

from tide.config import ModelConfig
from tide.types import ThoughtOutput

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

Array = npt.NDArray[Any]
RECORD = ("rates_e", "rates_i", "attention", "synchrony")
EXCITATORY, INHIBITORY = "#c0392b", "#2d6ca2"
ATTENTION_PANELS = 6


@dataclass(frozen=True)
class Thought:
    """What the picture shows of one image, as arrays.

    ``image`` (H, W, 1 or 3) in [0, 1]; ``attention`` (T, rows, columns), mean over heads; ``rates_e`` (n_E, T) and
    ``rates_i`` (n_I, T); ``certainty`` and ``ei_ratio`` (T,); ``probabilities`` (C, T); ``synchrony`` (D, D), the
    last tick's s of every drawn pair and NaN elsewhere.
    """

    image: Array
    attention: Array
    rates_e: Array
    rates_i: Array
    certainty: Array
    ei_ratio: Array
    ratio_target: float
    probabilities: Array
    synchrony: Array
    labels: tuple[str, ...]
    truth: str | None

    @classmethod
    def from_output(
        cls,
        image: Tensor,
        out: ThoughtOutput,
        config: ModelConfig,
        pairs: Tensor,
        *,
        truth: str | None = None,
    ) -> Self:
        """Take the first sample of an output recorded with ``RECORD``; image (channels, H, W), pairs (2, P)."""

        def array(tensor: Tensor) -> Array:
            return tensor.detach().cpu().double().numpy()

        trace = {name: array(out.trace[name][0]) for name in RECORD}
        grid, neurons = config.backbone.grid, config.core.neurons
        synchrony = np.full((neurons, neurons), np.nan)
        left, right = pairs.cpu().numpy()
        synchrony[left, right] = synchrony[right, left] = trace["synchrony"][-1]
        return cls(
            image=array(image).transpose(1, 2, 0),
            attention=trace["attention"].mean(1).reshape(-1, grid, grid),
            rates_e=trace["rates_e"].T,
            rates_i=trace["rates_i"].T,
            certainty=array(out.certainty[0]),
            ei_ratio=array(out.ei_ratio[0]),
            ratio_target=config.core.ratio_target,
            probabilities=array(out.logits[0].softmax(0)),
            synchrony=synchrony,
            labels=tuple(config.input.label(c) for c in range(config.input.classes)),
            truth=truth,
        )


def draw_thought(thought: Thought) -> Figure:
    """Draw the picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 8.6), layout="constrained")
    rows: Array = np.asarray(figure.subfigures(3, 1, height_ratios=(1.0, 1.15, 1.3)))
    top, middle, bottom = rows
    best = int(thought.certainty.argmax())
    answer = thought.labels[int(thought.probabilities[:, best].argmax())]
    truth = f", labelled {thought.truth}" if thought.truth is not None else ""
    figure.suptitle(
        f"answer {answer}{truth}: certainty {thought.certainty[best]:.3f} at tick {best + 1} of "
        f"{len(thought.certainty)}",
        fontsize=13,
    )
    panels = top.subplots(1, ATTENTION_PANELS + 1)
    _image(panels[0], thought)
    ticks = np.linspace(0, len(thought.certainty) - 1, ATTENTION_PANELS).round().astype(int)
    highest = thought.attention[ticks].max()
    for axes, tick in zip(panels[1:], ticks, strict=True):
        _attention(axes, thought, int(tick), highest)
    excitatory, inhibitory = middle.subplots(1, 2)
    _rates(middle, excitatory, thought.rates_e, "excitatory rates", "Reds")
    _rates(middle, inhibitory, thought.rates_i, "inhibitory rates", "Blues")
    certainty, balance, synchrony = bottom.subplots(1, 3)
    _certainty(certainty, thought, best)
    _balance(balance, thought)
    _synchrony(bottom, synchrony, thought)
    return figure


def _pixels(thought: Thought) -> tuple[Array, str | None]:
    grey = thought.image.shape[2] == 1
    return (thought.image[:, :, 0], "gray") if grey else (thought.image, None)


def _image(axes: Axes, thought: Thought) -> None:
    pixels, colours = _pixels(thought)
    axes.imshow(pixels, cmap=colours, vmin=0, vmax=1)
    axes.set_title("image")
    axes.set_axis_off()


def _attention(axes: Axes, thought: Thought, tick: int, highest: float) -> None:
    pixels, colours = _pixels(thought)
    height, width = pixels.shape[:2]
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    axes.imshow(pixels, cmap=colours, vmin=0, vmax=1, extent=extent)
    axes.imshow(
        thought.attention[tick], cmap="magma", vmin=0, vmax=highest, alpha=0.65, interpolation="bilinear", extent=extent
    )
    axes.set_title(f"attention, tick {tick + 1}", fontsize=9)
    axes.set_axis_off()


def _rates(figure: SubFigure, axes: Axes, rates: Array, title: str, colours: str) -> None:
    order = np.argsort(-rates.mean(1))  # most active neurons on top
    highest = max(float(np.quantile(rates, 0.995)), 1e-9)  # single outliers would leave the rest pale
    ticks, neurons = rates.shape[1], rates.shape[0]
    shown = axes.imshow(
        rates[order],
        aspect="auto",
        cmap=colours,
        vmin=0,
        vmax=highest,
        interpolation="nearest",
        extent=(0.5, ticks + 0.5, neurons, 0),
    )
    axes.set_title(f"{title} ({neurons} neurons, most active on top)", fontsize=10)
    axes.set_xlabel("tick")
    axes.set_ylabel("neuron")
    figure.colorbar(shown, ax=axes, pad=0.01)


def _certainty(axes: Axes, thought: Thought, best: int) -> None:
    ticks = np.arange(1, len(thought.certainty) + 1)
    top = np.argsort(-thought.probabilities[:, best])[:3]
    for index, style in zip(top, ("-", "--", ":"), strict=False):
        axes.plot(ticks, thought.probabilities[index], style, color="0.45", label=f"p({thought.labels[index]})")
    axes.plot(ticks, thought.certainty, color="black", linewidth=2, label="certainty")
    axes.axvline(best + 1, color="0.75", linewidth=1)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("tick")
    axes.set_title("certainty and the three likeliest classes", fontsize=10)
    axes.legend(fontsize=8, loc="center right", framealpha=0.8)


def _balance(axes: Axes, thought: Thought) -> None:
    ticks = np.arange(1, len(thought.certainty) + 1)
    axes.plot(ticks, thought.rates_e.mean(0), color=EXCITATORY, label="mean E rate")
    axes.plot(ticks, thought.rates_i.mean(0), color=INHIBITORY, label="mean I rate")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("tick")
    axes.set_ylabel("rate")
    other = axes.twinx()
    other.plot(ticks, thought.ei_ratio, color="0.3", linestyle="--", label="E-I ratio (right)")
    other.axhline(thought.ratio_target, color="0.75", linewidth=1)
    other.set_ylim(0, max(2 * thought.ratio_target, float(thought.ei_ratio.max()) * 1.05))
    lines = [*axes.get_lines(), other.get_lines()[0]]
    axes.legend(lines, [str(line.get_label()) for line in lines], fontsize=8, loc="lower right", framealpha=0.8)
    axes.set_title(f"balance (target ratio {thought.ratio_target:g})", fontsize=10)


def _synchrony(figure: SubFigure, axes: Axes, thought: Thought) -> None:
    rows, columns = np.nonzero(~np.isnan(thought.synchrony))
    values = thought.synchrony[rows, columns]
    order = np.argsort(values)  # strongest drawn last, on top
    n_e, neurons = len(thought.rates_e), len(thought.synchrony)
    highest = max(float(np.quantile(values, 0.98)), 1e-9)
    shown = axes.scatter(columns[order], rows[order], c=values[order], s=4, cmap="viridis", vmin=0, vmax=highest)
    for line in (axes.axhline, axes.axvline):
        line(n_e - 0.5, color="0.6", linewidth=0.8)
    axes.set_xlim(-1, neurons)
    axes.set_ylim(neurons, -1)
    axes.set_aspect("equal")
    axes.set_title("synchrony of the pairs, last tick", fontsize=10)
    axes.set_xlabel("neuron (E, then I)")
    figure.colorbar(shown, ax=axes, pad=0.02)

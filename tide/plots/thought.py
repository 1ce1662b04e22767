"""One input, thought through, as a picture: attention, rates, certainty, synchrony, and tasks of several steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tide.data.drawn.mazes import walk
from tide.data.drawn.sudoku import BOXES
from tide.models.heads import emitted, read_answers
from tide.models.inputs import OPERATORS, Inputs, Questions
from tide.models.thinker import Thinker
from tide.plots.axes import attention_maps, grid, headroom, show_attention, show_image, shown_ticks, whole_numbers
from tide.types import ThoughtOutput

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure


# One image, thought through: attention, firing rates, certainty, synchrony over ticks.


Array = npt.NDArray[Any]
COLOURS = ("#c0392b", "#2d6ca2")  # of the excitatory and the inhibitory population, or of the two activities shown
RATE_MAPS = ("Reds", "Blues")


@dataclass(frozen=True)
class Thought:
    """What the picture shows of one image, as arrays.

    ``image`` (H, W, 1 or 3) in [0, 1]; ``attention`` (T, rows, columns), mean over heads, None for a model that has
    none; ``activity`` by title, each (neurons, T): firing rates per population, or what the model has in their place;
    ``certainty`` (T,); ``ei_ratio`` (T,), None without populations; ``probabilities`` (C, T); ``synchrony`` (D, D),
    the last tick's s of every drawn pair and NaN elsewhere, None for a model that has none; ``n_e`` the number of
    excitatory neurons, 0 without.
    """

    image: Array
    attention: Array | None
    activity: dict[str, Array]
    certainty: Array
    ei_ratio: Array | None
    ratio_target: float
    probabilities: Array
    synchrony: Array | None
    n_e: int
    labels: tuple[str, ...]
    truth: str | None

    @classmethod
    def from_output(cls, image: Tensor, out: ThoughtOutput, model: Thinker, *, truth: str | None = None) -> Self:
        """Take the first sample of an output of ``model`` recorded with :func:`record`; image (channels, H, W)."""

        def array(tensor: Tensor) -> Array:
            return tensor.detach().cpu().double().numpy()

        output = model.config.output
        blocks, pairs, synchrony = model.cell.blocks(), model.cell.pairs(), None
        if pairs is not None:
            neurons = model.config.core.neurons
            synchrony = np.full((neurons, neurons), np.nan)
            left, right = pairs.cpu().numpy()
            synchrony[left, right] = synchrony[right, left] = array(out.trace["synchrony"][0, -1])
        return cls(
            image=array(image).transpose(1, 2, 0),
            attention=attention_maps(out.trace["attention"][0]) if "attention" in out.trace else None,
            activity={title: array(out.trace[name][0]).T for title, name in model.cell.activity.items()},
            certainty=array(out.certainty[0]),
            ei_ratio=array(out.ei_ratio[0]) if out.ei_ratio is not None else None,
            ratio_target=out.dynamics.ratio_target if out.dynamics is not None else 0.0,
            probabilities=array(out.logits[0].softmax(0)),
            synchrony=synchrony,
            n_e=blocks.ee.shape[0] if blocks is not None else 0,
            labels=tuple(output.label(c) for c in range(output.classes)),
            truth=truth,
        )


def record(model: Thinker) -> tuple[str, ...]:
    """Return the names that the picture of a model needs recorded."""
    pairs = ("synchrony",) if model.cell.pairs() is not None else ()
    attention = ("attention",) if "attention" in tuple(model.cell.observables) else ()
    return (*model.cell.activity.values(), *attention, *pairs)


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
    ticks = shown_ticks(len(thought.certainty)) if thought.attention is not None else []
    panels = top.subplots(1, len(ticks) + 1, squeeze=False)[0]
    show_image(panels[0], thought.image)
    panels[0].set_title("image", fontsize=9)
    for axes, tick in zip(panels[1:], ticks, strict=True):
        assert thought.attention is not None
        show_attention(axes, thought.image, thought.attention[tick], thought.attention[ticks].max())
        axes.set_title(f"attention, tick {tick + 1}", fontsize=9)
    columns = middle.subplots(1, len(thought.activity), squeeze=False)[0]
    for axes, (title, rates), colours in zip(columns, thought.activity.items(), cycle(RATE_MAPS), strict=False):
        _rates(middle, axes, rates, title, colours)
    certainty, balance, *rest = bottom.subplots(1, 2 if thought.synchrony is None else 3)
    _certainty(certainty, thought, best)
    _balance(balance, thought)
    if thought.synchrony is not None:
        _synchrony(bottom, rest[0], thought, thought.synchrony)
    for axes in (*columns, certainty, balance):
        whole_numbers(axes)
    return figure


def _rates(figure: SubFigure, axes: Axes, rates: Array, title: str, colours: str) -> None:
    order = np.argsort(-rates.mean(1))  # most active neurons on top
    highest = max(float(np.quantile(np.abs(rates), 0.995)), 1e-9)  # single outliers would leave the rest pale
    signed = bool((rates < 0).any())
    ticks, neurons = rates.shape[1], rates.shape[0]
    shown = axes.imshow(
        rates[order],
        aspect="auto",
        cmap="RdBu_r" if signed else colours,
        vmin=-highest if signed else 0,
        vmax=highest,
        interpolation="nearest",
        extent=(0.5, ticks + 0.5, neurons, 0),
    )
    top = "highest mean on top" if signed else "most active on top"
    axes.set_title(f"{title} ({neurons} neurons, {top})", fontsize=10)
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
    headroom(axes, 0.18)
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.set_xlabel("tick")
    axes.set_title("certainty and the three likeliest classes", fontsize=10)
    axes.legend(fontsize=8, loc="upper center", ncols=2)


def _balance(axes: Axes, thought: Thought) -> None:
    ticks = np.arange(1, len(thought.certainty) + 1)
    for (title, rates), colour in zip(thought.activity.items(), cycle(COLOURS), strict=False):
        axes.plot(ticks, np.abs(rates).mean(0), color=colour, label=f"mean size of {title}")
    axes.margins(y=0.05)
    axes.set_ylim(bottom=0)
    headroom(axes, 0.22)
    axes.set_xlabel("tick")
    if thought.ei_ratio is None:
        axes.legend(fontsize=8, loc="upper center")
        axes.set_title("activity", fontsize=10)
        return
    other = axes.twinx()
    other.plot(ticks, thought.ei_ratio, color="0.3", linestyle="--", label="E-I ratio (right)")
    other.axhline(thought.ratio_target, color="0.75", linewidth=1)
    other.set_ylim(0, max(2 * thought.ratio_target, float(thought.ei_ratio.max()) * 1.05))
    headroom(other, 0.22)
    lines = [*axes.get_lines(), other.get_lines()[0]]
    axes.legend(lines, [str(line.get_label()) for line in lines], fontsize=8, loc="upper center", ncols=2)
    axes.set_title(f"balance (target ratio {thought.ratio_target:g})", fontsize=10)


def _synchrony(figure: SubFigure, axes: Axes, thought: Thought, synchrony: Array) -> None:
    rows, columns = np.nonzero(~np.isnan(synchrony))
    values = synchrony[rows, columns]
    order = np.argsort(values)  # strongest drawn last, on top
    neurons = len(synchrony)
    highest = max(float(np.quantile(np.abs(values), 0.98)), 1e-9)
    signed = bool((values < 0).any())
    colours, lowest = ("RdBu_r", -highest) if signed else ("viridis", 0.0)
    shown = axes.scatter(columns[order], rows[order], c=values[order], s=4, cmap=colours, vmin=lowest, vmax=highest)
    for line in (axes.axhline, axes.axvline) if thought.n_e else ():
        line(thought.n_e - 0.5, color="0.6", linewidth=0.8)
    axes.set_xlim(-1, neurons)
    axes.set_ylim(neurons, -1)
    axes.set_aspect("equal")
    axes.set_title("synchrony of the pairs, last tick", fontsize=10)
    axes.set_xlabel("neuron (E, then I)" if thought.n_e else "neuron")
    figure.colorbar(shown, ax=axes, pad=0.02)


# One thought about a task that a program draws: what is read, and how the answer comes about over the ticks.


GREEN, RED, BLUE = "#1b7837", "#c0392b", "#2d6ca2"


def draw_task_thought(model: Thinker, inputs: Inputs, out: ThoughtOutput, target: Tensor) -> Figure:
    """Draw what ``model`` made of one input, ``out`` with ``attention`` recorded where it has any; ``target`` (*S)."""
    from matplotlib.figure import Figure

    output = model.config.output
    logits, certainty = (part.cpu() for part in out.answers())
    answer = read_answers(logits, certainty, output)
    tick = int(answer.certainty[0].argmax())
    attention = out.trace["attention"][0].double().mean(1).cpu().numpy() if "attention" in out.trace else None
    figure = Figure(figsize=(13, 4.4), layout="constrained")
    panels = figure.subplots(1, 3)
    if isinstance(inputs, Questions):
        _shown(panels[0], model, inputs)
    elif inputs.dim() == 4:
        _route(panels[0], inputs, answer.classes[0, :, tick], target, attention)
    elif model.config.is_grid:
        _grid(panels[0], figure, inputs[0].cpu(), answer.classes[0, :, : tick + 1], target)
    else:
        _sequence(panels[0], figure, inputs, attention)
    if output.emitted:
        right = float((answer.classes[0, :, tick] == target).double().mean())
        _emission(panels[1], figure, logits, target)
    elif output.positions:
        right = float((answer.classes[0, ..., tick] == target).double().mean())
        _positions(panels[1], figure, logits, target)
    else:
        right = float(answer.classes[0, tick] == target)
        _classes(panels[1], figure, logits, int(target), output.label)
    _certainty_alone(panels[2], answer.certainty[0].numpy(), tick)
    figure.suptitle(f"{model.config.core.population}: {100 * right:.0f} % of the answer right at tick {tick + 1}")
    return figure


def _sequence(axes: Axes, figure: Figure, values: Tensor, attention: Array | None) -> None:
    """Show a sequence, below it where the attention was at each tick."""
    sequence = values[0].cpu().numpy()
    if attention is None:
        axes.bar(np.arange(len(sequence)), sequence, color=[RED if value < 0 else BLUE for value in sequence])
        axes.set_xlabel("place")
        axes.set_title("numbers", fontsize=10)
        return
    shown = axes.imshow(
        attention, aspect="auto", cmap="magma", vmin=0, interpolation="nearest", extent=_cells(attention)
    )
    axes.set_xlabel("place; marked: -1")
    axes.set_ylabel("tick")
    for place in np.flatnonzero(sequence < 0):
        axes.plot(place, -0.02, "v", color=RED, markersize=4, clip_on=False, transform=axes.get_xaxis_transform())
    axes.set_title("attention over the sequence, mean of heads", fontsize=10)
    figure.colorbar(shown, ax=axes, pad=0.01)


def _route(axes: Axes, mazes: Tensor, moves: Tensor, target: Tensor, attention: Array | None) -> None:
    """Show a maze with the answered route, the right one, and the attention's way over the ticks."""
    pixels = (255 * mazes.cpu()).round().byte()
    image = mazes[0].cpu().permute(1, 2, 0).numpy()
    show_image(axes, image)
    for route, colour, width, name in ((target, GREEN, 5, "right"), (moves, RED, 2, "answer")):
        places = walk(pixels, route[None]).places[0].numpy()
        axes.plot(places[:, 1], places[:, 0], color=colour, linewidth=width, alpha=0.7, label=name)
    if attention is not None:
        rows, columns = grid(attention.shape[1])
        cells = np.divmod(np.arange(attention.shape[1]), columns)
        scales = (image.shape[0] / rows, image.shape[1] / columns)
        centre = [attention @ ((place + 0.5) * scale - 0.5) for place, scale in zip(cells, scales, strict=True)]
        axes.scatter(centre[1], centre[0], c=np.arange(len(attention)), cmap="cool", s=14, label="attention's centre")
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.02), ncol=3)
    axes.set_title("route from red to green", fontsize=10)


def settled(classes: Tensor) -> Tensor:
    """Return the tick (0-based) from which each position's answer (n, T) is the last one, (n,)."""
    other = classes != classes[:, -1:]
    ticks = torch.arange(1, classes.shape[1] + 1)
    return torch.where(other, ticks, 0).amax(1)


def _grid(axes: Axes, figure: Figure, given: Tensor, classes: Tensor, target: Tensor) -> None:
    """Show a grid of numbers: givens bold, answers (n, T) in the colour of the tick from which they stand."""
    side = math.isqrt(len(given))
    rows, columns = BOXES.get(side, (side, side))
    ticks = settled(classes).double() + 1
    shown = torch.where(given > 0, torch.nan, ticks).reshape(side, side).numpy()
    image = axes.imshow(shown, cmap="viridis_r", vmin=1, vmax=max(2, classes.shape[1]))
    for cell in range(side * side):
        answer, right = int(classes[cell, -1]), int(target[cell])
        text, style = (str(int(given[cell])), "bold") if given[cell] > 0 else (str(answer + 1), "normal")
        wrong = given[cell] == 0 and answer != right
        light = given[cell] == 0 and ticks[cell] > 0.6 * classes.shape[1]
        colour = RED if wrong else "white" if light else "black"
        place = (cell % side, cell // side)
        axes.text(*place, text, ha="center", va="center", weight=style, color=colour, fontsize=60 / side)
    for line in range(side + 1):
        axes.axhline(line - 0.5, color="black", linewidth=2.0 if line % rows == 0 else 0.5)
        axes.axvline(line - 0.5, color="black", linewidth=2.0 if line % columns == 0 else 0.5)
    axes.set_axis_off()
    axes.set_title("bold: given; red: wrong", fontsize=10)
    figure.colorbar(image, ax=axes, pad=0.01, label="tick from which the answer stands")


def _shown(axes: Axes, model: Thinker, inputs: Questions) -> None:
    """Show the digits in their order and the question about their places."""
    digits = inputs.digits[0].cpu()
    axes.imshow(torch.cat(list(digits[:, 0]), 1).numpy(), cmap="gray", vmin=0, vmax=1)
    axes.set_axis_off()
    parts = [OPERATORS.get(part, f"[{part}]") for part in inputs.question[0].tolist()]
    axes.set_title(f"digits, then: {' '.join(parts)} modulo {model.config.output.classes}", fontsize=10)


def _positions(axes: Axes, figure: Figure, logits: Tensor, target: Tensor) -> None:
    """Show how probable the right class is at every position and tick."""
    probability = torch.softmax(logits[0], 0).gather(0, target[None, ..., None].expand(1, *logits.shape[2:]))[0]
    flat = probability.flatten(0, -2).T.numpy()
    shown = axes.imshow(
        flat, aspect="auto", cmap="RdYlBu", vmin=0, vmax=1, interpolation="nearest", extent=_cells(flat)
    )
    whole_numbers(axes)
    axes.set_xlabel("position of the answer")
    axes.set_ylabel("tick")
    axes.set_title("which position is solved at which tick", fontsize=10)
    figure.colorbar(shown, ax=axes, pad=0.01, label="p(right)")


def _emission(axes: Axes, figure: Figure, logits: Tensor, target: Tensor) -> None:
    """Show the probabilities of the symbols over the ticks, and which are emitted when."""
    probability = torch.softmax(logits[0], 0).numpy()
    extent = (0.5, probability.shape[1] + 0.5, len(probability) - 0.5, -0.5)
    shown = axes.imshow(
        probability, aspect="auto", cmap="Blues", vmin=0, vmax=1, interpolation="nearest", extent=extent
    )
    out = emitted(logits, len(target))[0]
    counts = (out >= 0).sum(0)
    for tick in range(out.shape[1]):
        before = int(counts[tick - 1]) if tick else 0
        if int(counts[tick]) > before:
            symbol = int(out[before, tick])
            axes.plot(tick + 1, symbol, "o", color=GREEN if symbol == int(target[before]) else RED)
    axes.set_xlabel("tick")
    axes.set_ylabel("place of the number; last: blank")
    axes.set_title("emitted places (green: in the right order)", fontsize=10)
    figure.colorbar(shown, ax=axes, pad=0.01, label="probability")


def _classes(axes: Axes, figure: Figure, logits: Tensor, target: int, label: Any) -> None:
    """Show the probabilities of the classes over the ticks of the answer."""
    probability = torch.softmax(logits[0], 0).numpy()
    extent = (0.5, probability.shape[1] + 0.5, len(probability) - 0.5, -0.5)
    shown = axes.imshow(
        probability, aspect="auto", cmap="Blues", vmin=0, vmax=1, interpolation="nearest", extent=extent
    )
    axes.set_yticks(range(len(probability)), [label(index) for index in range(len(probability))])
    axes.axhline(target, color=GREEN, linewidth=1)
    axes.set_xlabel("tick of the answer")
    axes.set_title(f"answer, right: {label(target)}", fontsize=10)
    figure.colorbar(shown, ax=axes, pad=0.01, label="probability")


def _certainty_alone(axes: Axes, certainty: Array, tick: int) -> None:
    axes.plot(np.arange(1, len(certainty) + 1), certainty, color="black", linewidth=2)
    axes.axvline(tick + 1, color="0.75", linewidth=1)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("tick")
    axes.set_title("certainty", fontsize=10)


def _cells(values: Array) -> tuple[float, float, float, float]:
    """Return the extent of (ticks, places) whose ticks count from 1, the first on top."""
    return -0.5, values.shape[1] - 0.5, values.shape[0] + 0.5, 0.5

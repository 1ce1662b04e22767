"""One thought about a task that a program draws: what is read, and how the answer comes about over the ticks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tide.data.drawn.mazes import walk
from tide.heads import emitted, read_answers
from tide.inputs import Inputs, Questions
from tide.inputs.schedule import OPERATORS
from tide.models.thinker import Thinker
from tide.plots.attention import grid, show_image
from tide.plots.axes import whole_numbers
from tide.types import ThoughtOutput

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = npt.NDArray[Any]
GREEN, RED, BLUE = "#1b7837", "#c0392b", "#2d6ca2"
PIXELS: dict[str, Any] = {"aspect": "auto", "interpolation": "nearest"}


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
    _certainty(panels[2], answer.certainty[0].numpy(), tick)
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


def _certainty(axes: Axes, certainty: Array, tick: int) -> None:
    axes.plot(np.arange(1, len(certainty) + 1), certainty, color="black", linewidth=2)
    axes.axvline(tick + 1, color="0.75", linewidth=1)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("tick")
    axes.set_title("certainty", fontsize=10)


def _cells(values: Array) -> tuple[float, float, float, float]:
    """Return the extent of (ticks, places) whose ticks count from 1, the first on top."""
    return -0.5, values.shape[1] - 0.5, values.shape[0] + 0.5, 0.5

"""One HTML file that holds trained models and everything to watch them think: no server, no network."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from tide.data.sets import LabelledSet
from tide.errors import InputError
from tide.export.folder import description
from tide.export.graphs import can_intervene, graphs
from tide.export.joined import joined, operators
from tide.export.onnx_graphs import to_onnx
from tide.export.packed import model_as_json
from tide.models.half import rounded
from tide.models.thinker import Thinker

EXAMPLES = 10
FRAME = 0.71  # a digit of MNIST fills 20 of 28 pixels; the drawing's share where no example says another
INK = 0.2  # a pixel brighter than this belongs to what is drawn


class Shown(NamedTuple):
    """A model and the title it has on the page."""

    title: str
    model: Thinker


def page(shown: Sequence[Shown], examples: LabelledSet | None = None) -> str:
    """Return the page for models that take the same images, with a few of ``examples``.

    Weights are rounded to half precision, so that the file has half the size: the page's numbers are those of
    :func:`tide.models.half.rounded`, not those of the model. Raises :class:`InputError` where models differ in their
    images, or the page's reader does not know an operator of one.
    """
    inputs = {(one.model.config.images.channels, one.model.config.images.size) for one in shown}
    if len(inputs) != 1:
        raise InputError(f"the models take images of {sorted(inputs)} (channels, pixels), the same is wanted of all")
    for one in shown:
        if one.model.config.output.positions:
            raise InputError(f"{one.title} answers at several positions, one answer is wanted: the page shows one")
    chosen = _chosen(examples)
    frame = _frame(chosen)
    return joined(
        {
            "models": [_model(one, frame) for one in shown],
            "examples": [{"label": label, "pixels": _text(image)} for label, image in chosen],
            "about": "Everything on this page is computed in your browser, from weights inside this file; nothing is "
            "sent anywhere. Weights are rounded to half precision.",
        }
    )


def write_page(path: Path, shown: Sequence[Shown], examples: LabelledSet | None = None) -> None:
    """Write :func:`page` to ``path``; raises :class:`InputError` as it does, and where the file cannot be written."""
    text = page(shown, examples)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror}; give a file that can be written with --html"
        ) from error


def _model(one: Shown, frame: float) -> dict[str, Any]:
    model = rounded(one.model)
    protos = {n: to_onnx(graph, batch=1) for n, graph in graphs(model, interventions=can_intervene(model)).items()}
    check_operators(one.title, {node.op_type for proto in protos.values() for node in proto.graph.node})
    return {"about": _about(one.title, model, frame), **model_as_json(protos)}


def check_operators(title: str, needed: set[str]) -> None:
    """Raise :class:`InputError` where the page's reader lacks an operator of ONNX that a model needs."""
    unknown = sorted(needed - operators())
    if unknown:
        raise InputError(f"{title} needs the operator {unknown[0]}, which the page's reader lacks: use --out for ONNX")


def _about(title: str, model: Thinker, frame: float) -> dict[str, Any]:
    cell, core, pairs = model.cell, model.config.core, model.cell.pairs()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    with torch.no_grad():
        settings = model.config.images
        keys: Any = model.begin(torch.zeros(1, settings.channels, settings.size, settings.size))
    activity = [
        {"title": name[:1].upper() + name[1:], "quantity": quantity, "population": "ei"[number]}
        for number, (name, quantity) in enumerate(cell.activity.items())
    ]
    return {
        **description(model),
        "title": title,
        "summary": f"{core.population}, {core.ticks} ticks, {parameters:,} parameters{_measured(model)}",
        "excitatory": getattr(core, "n_e", 0),
        "recorded": list(cell.recordable()),
        "activity": activity,
        "pairs": pairs.tolist() if pairs is not None else None,
        "places": keys.keys.shape[-1],
        "frame": frame,
    }


def _measured(model: Thinker) -> str:
    card = model.card
    return f"; {100 * card.accuracy:.2f} % of {card.images:,} held-out images" if card is not None else ""


def _chosen(examples: LabelledSet | None) -> list[tuple[str, torch.Tensor]]:
    """Return the first image of each class, classes in order, as bytes (channels, size, size)."""
    if examples is None:
        return []
    first: dict[int, int] = {}
    for number in range(len(examples)):
        first.setdefault(int(examples.labels[number]), number)
        if len(first) == min(len(examples.classes), EXAMPLES):
            break
    numbers = [first[label] for label in sorted(first)]
    return [(examples.classes[int(examples.labels[n])], examples.select(slice(n, n + 1)).images[0]) for n in numbers]


def _frame(chosen: list[tuple[str, torch.Tensor]]) -> float:
    """Return which share of the image's side the shapes fill, in the median."""
    shares = []
    for _, image in chosen:
        inked = (image.float().mean(0) > 255 * INK).nonzero()
        if len(inked):
            shares.append(float((inked.amax(0) - inked.amin(0) + 1).max()) / image.shape[-1])
    return sorted(shares)[len(shares) // 2] if shares else FRAME


def _text(image: torch.Tensor) -> str:
    return base64.b64encode(image.contiguous().numpy().tobytes()).decode("ascii")

"""One HTML file that holds trained models and everything to watch them think: no server, no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tide.data.sets import LabelledSet
from tide.errors import InputError
from tide.export.about import about, answered_by, asked_by, check_size
from tide.export.graphs import can_intervene, graphs
from tide.export.inputs import example_of
from tide.export.joined import joined, operators
from tide.export.onnx_graphs import to_onnx
from tide.export.packed import model_as_json
from tide.export.samples import choose, frame
from tide.models.half import rounded
from tide.models.thinker import Thinker


class Shown(NamedTuple):
    """A model, the title it has on the page, and what it was trained on where that is known."""

    title: str
    model: Thinker
    data: str | None = None


def page(shown: Sequence[Shown], examples: LabelledSet | None = None) -> str:
    """Return the page for models that take the same input, with a few of ``examples``.

    Weights are rounded to half precision, so that the file has half the size: the page's numbers are those of
    :func:`tide.models.half.rounded`, not those of the model. Raises :class:`InputError` as :func:`check_shown` does,
    and where the page's reader does not know an operator of a model.
    """
    check_shown(shown)
    chosen = choose(examples)
    size = frame(chosen)
    return joined(
        {
            "models": [_model(one, size) for one in shown],
            "examples": [sample.as_json() for sample in chosen],
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


def _model(one: Shown, size: float) -> dict[str, Any]:
    model = rounded(one.model)
    told = about(one.title, model, one.data, size)
    protos = {n: to_onnx(graph, batch=1) for n, graph in graphs(model, interventions=can_intervene(model)).items()}
    check_operators(one.title, {node.op_type for proto in protos.values() for node in proto.graph.node})
    return {"about": told, **model_as_json(protos)}


def check_shown(shown: Sequence[Shown]) -> None:
    """Raise :class:`InputError` where models differ in what they take or answer, or one is too large or fits no widget.

    It is quick: to be asked before data are read for a page that there will not be.
    """
    for one in shown:
        check_size(one.title, one.model)
    kinds = {_kind(one.model) for one in shown}
    if len(kinds) != 1:
        raise InputError(f"the models take {' and '.join(sorted(kinds))}, the same is wanted of all")


def _kind(model: Thinker) -> str:
    """Return what a model takes and answers, in words."""
    shape = " x ".join(map(str, example_of(model.config, 1).shape[1:]))
    return f"{asked_by(model.config)} of {shape} to answer by {answered_by(model.config)}"


def check_operators(title: str, needed: set[str]) -> None:
    """Raise :class:`InputError` where the page's reader lacks an operator of ONNX that a model needs."""
    unknown = sorted(needed - operators())
    if unknown:
        raise InputError(f"{title} needs the operator {unknown[0]}, which the page's reader lacks: use --out for ONNX")

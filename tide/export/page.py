"""One HTML file that holds trained models and everything to watch them think: no server, no network."""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tide.config import ModelConfig, SequenceConfig
from tide.data.sets import LabelledSet
from tide.errors import InputError
from tide.export.graphs import can_intervene, example_of, graphs
from tide.export.onnx import check_answers, description, to_onnx
from tide.files import writing
from tide.models.inputs import to_float
from tide.models.saved import rounded
from tide.models.thinker import Thinker

if TYPE_CHECKING:
    from onnx import ModelProto


# The page's sources joined to one text: modules of JavaScript in the order in which they need each other.


SOURCES = files("tide") / "page"
IMPORT = re.compile(r'^import (?:\{[^}]*\} from )?"(\./|(?:\.\./)+)([\w/.]+)";\n', re.MULTILINE)
OPERATOR = re.compile(r"^OPERATORS\.(\w+) =", re.MULTILINE)


def source(name: str) -> str:
    """Return a source file by its path inside ``tide/page``."""
    return SOURCES.joinpath(*name.split("/")).read_text(encoding="utf-8")


def modules(entry: str = "main.js") -> list[str]:
    """Return the modules that ``entry`` needs, itself last; each after those that it imports."""
    found: list[str] = []

    def visit(name: str) -> None:
        if name in found:
            return
        for up, target in IMPORT.findall(source(name)):
            visit("/".join([*name.split("/")[: -1 - up.count("../")], target]))
        found.append(name)

    visit(entry)
    return found


def script() -> str:
    """Return all modules as one: they share one scope, so no two of them give the same name away."""
    parts = (re.sub(r"^export ", "", IMPORT.sub("", source(name)), flags=re.MULTILINE).strip() for name in modules())
    return "\n\n".join(parts)


def operators() -> set[str]:
    """Return the operators of ONNX that the page's reader knows."""
    return {name for module in modules() for name in OPERATOR.findall(source(module))}


def joined(models: Any) -> str:
    """Return the whole page with ``models`` inside, as JSON."""
    content = json.dumps(models, separators=(",", ":"), ensure_ascii=True).replace("<", "\\u003c")
    page = source("index.html")
    for mark, text in (("STYLE", source("style.css")), ("MODELS", content), ("SCRIPT", script())):
        page = page.replace(f"/*{mark}*/", text, 1)
    return page


# ONNX graphs as the page reads them: nodes as JSON, constants as one packed text (``tide/page/reader/``).


Array = npt.NDArray[Any]
# 91 characters that JSON and HTML leave as they are: two of them hold 13 bits, where base 64 holds 12.
DIGITS = np.frombuffer(bytes(c for c in range(33, 127) if chr(c) not in '"\\<'), np.uint8)
BITS = 13


class Packed:
    """Constants of several graphs, each kept once."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._kept: list[tuple[str, Array]] = []

    def number(self, value: Array) -> int | None:
        """Return the number of a tensor that is there; None where it is not."""
        return self._numbers.get(_key(value))

    def add(self, value: Array) -> int:
        """Return the number of ``value``, which is kept from now on."""
        key = _key(value)
        if key not in self._numbers:
            self._numbers[key] = len(self._kept)
            self._kept.append(_narrowed(value))
        return self._numbers[key]

    def as_json(self) -> dict[str, Any]:
        """Return kinds and shapes, and the numbers: bytes sorted by their place in a number, deflated, in base 91."""
        planes = [_planes(value) for _, value in self._kept]
        packed = zlib.compress(b"".join(planes), 9)
        listed = [[kind, list(value.shape)] for kind, value in self._kept]
        return {"listed": listed, "bytes": len(packed), "text": as_text(packed)}


def graph_as_json(proto: ModelProto, packed: Packed) -> dict[str, Any]:
    """Return inputs, outputs, constants by number, and nodes as [operator, inputs, outputs, attributes].

    A matrix whose transpose is there already becomes that one and a node that transposes it.
    """
    from onnx import helper, numpy_helper

    constants, nodes = {}, []
    for initializer in proto.graph.initializer:
        value = numpy_helper.to_array(initializer)
        turned = packed.number(value.T) if value.ndim == 2 and packed.number(value) is None else None
        if turned is None:
            constants[initializer.name] = packed.add(value)
        else:
            constants[f"{initializer.name}_turned"] = turned
            nodes.append(["Transpose", [f"{initializer.name}_turned"], [initializer.name], {"perm": [1, 0]}])
    for node in proto.graph.node:
        attributes = {a.name: _plain(helper.get_attribute_value(a)) for a in node.attribute}
        nodes.append([node.op_type, list(node.input), list(node.output), attributes])
    return {
        "inputs": [value.name for value in proto.graph.input],
        "outputs": [value.name for value in proto.graph.output],
        "constants": constants,
        "nodes": nodes,
    }


def as_text(content: bytes) -> str:
    """Return bytes as text, every 13 bits (the highest first, zeros at the end) as two of the 91 digits."""
    bits = np.unpackbits(np.frombuffer(content, np.uint8))
    groups: Array = np.concatenate((bits, np.zeros(-len(bits) % BITS, np.uint8))).reshape(-1, BITS)
    numbers = groups @ (1 << np.arange(BITS - 1, -1, -1))
    text: bytes = DIGITS[np.stack((numbers // len(DIGITS), numbers % len(DIGITS)), 1)].tobytes()
    return text.decode("ascii")


def _plain(value: Any) -> Any:
    """Return an attribute as JSON holds it."""
    from onnx import TensorProto, numpy_helper

    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value).ravel().tolist()
    if isinstance(value, bytes):
        return value.decode()
    return list(value) if not isinstance(value, str | int | float) else value


def _narrowed(value: Array) -> tuple[str, Array]:
    """Return the narrowest kind that holds the numbers exactly."""
    if value.dtype == np.bool_:
        return "bool", value.astype(np.uint8)
    if np.issubdtype(value.dtype, np.integer):
        return "integer", np.clip(value, -(2**31), 2**31 - 1).astype("<i4")  # ONNX says "to the end" by 2^63 - 1
    with np.errstate(over="ignore"):
        half = value.astype("<f2")
    return ("half", half) if np.array_equal(half.astype(value.dtype), value) else ("float", value.astype("<f4"))


def _planes(value: Array) -> bytes:
    flat = np.ascontiguousarray(value).reshape(-1)
    return flat.view(np.uint8).reshape(len(flat), value.dtype.itemsize).T.tobytes()


def _key(value: Array) -> tuple[Any, ...]:
    return value.shape, value.dtype.str, value.tobytes()


def model_as_json(protos: Mapping[str, ModelProto]) -> dict[str, Any]:
    """Return the graphs of one model and their shared constants."""
    packed = Packed()
    graphs = {name: graph_as_json(proto, packed) for name, proto in protos.items()}
    return {"graphs": graphs, "constants": packed.as_json()}


# What the page is told of a model: which widget asks it, which views show its answer, what can be done to it.


MOST_PARAMETERS = 20_000_000  # 40 MB in half precision; a browser thinks about one image for a minute with more
TRUTHS = ("parity", "sort", "sudoku")  # whose right answer the page works out itself, as it does for every maze


def about(title: str, model: Thinker, data: str | None, frame: float) -> dict[str, Any]:
    """Return everything but weights; ``data`` is what the model was trained on, ``frame`` what drawings fill.

    Raises :class:`InputError` as :func:`asked_by` does.
    """
    cell, core, pairs = model.cell, model.config.core, model.cell.pairs()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    shown = example_of(model.config, 1)
    with torch.no_grad():
        context: Any = model.begin(shown).context
    activity = [
        {"title": name[:1].upper() + name[1:], "quantity": quantity, "population": "ei"[number]}
        for number, (name, quantity) in enumerate(cell.activity.items())
    ]
    recorded, asked = tuple(cell.observables), asked_by(model.config)
    return {
        **description(model),
        "asked": asked,
        "answer": answered_by(model.config),
        "truth": "maze" if asked == "maze" else data if data in TRUTHS else None,
        "shape": list(shown.shape),
        "title": title,
        "summary": f"{core.population}, {core.ticks} ticks, {parameters:,} parameters{_measured(model)}",
        "excitatory": getattr(core, "n_e", 0),
        "recorded": list(recorded),
        "activity": activity,
        "pairs": pairs.tolist() if pairs is not None else None,
        "places": context.keys.shape[-1] if "attention" in recorded else 0,
        "frame": frame,
    }


def asked_by(config: ModelConfig) -> str:
    """Return the widget: ``picture``, ``maze``, ``bits``, ``cells`` or ``numbers``; :class:`InputError` for none."""
    if not isinstance(config.input, SequenceConfig):
        return "maze" if answered_by(config) == "route" else "picture"
    if config.is_grid:
        return "cells"
    if len(config.input.alphabet) not in (0, 2):
        raise InputError(
            f"a page takes 2 symbols, a grid of numbers or any numbers, got {len(config.input.alphabet)}; use --out"
        )
    return "bits" if config.input.alphabet else "numbers"


def answered_by(config: ModelConfig) -> str:
    """Return the kind of answer: ``class``, ``positions``, ``route`` (moves through a maze) or ``list`` (emitted)."""
    if config.output.emitted:
        return "list"
    if not config.output.positions:
        return "class"
    return "route" if "end" in config.output.labels else "positions"


def check_size(title: str, model: Thinker) -> None:
    """Raise :class:`InputError` where a model is too large for a page."""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    if parameters > MOST_PARAMETERS:
        raise InputError(
            f"{title} must have at most {MOST_PARAMETERS:,} parameters for a page, got {parameters:,}; "
            "use --out for ONNX"
        )


def _measured(model: Thinker) -> str:
    return f"; {model.card.summary()} held out" if model.card is not None else ""


# A few test samples that the page carries, and how large what is drawn in them is.


MOST = 10
FRAME = 0.71  # a digit of MNIST fills 20 of 28 pixels; the drawing's share where no example says another
INK = 0.2  # a pixel brighter than this belongs to what is drawn


class Sample(NamedTuple):
    """One test sample: its class in words, if it has one, and pixels (channels, H, W) as uint8 or a sequence."""

    label: str | None
    shown: Tensor

    def as_json(self) -> dict[str, Any]:
        """Return it as the page reads it."""
        if self.shown.dtype != torch.uint8:
            return {"label": self.label, "values": self.shown.tolist()}
        pixels = base64.b64encode(self.shown.contiguous().numpy().tobytes()).decode("ascii")
        return {"label": self.label, "pixels": pixels}


def choose(examples: LabelledSet | None) -> list[Sample]:
    """Return the first image of each class, classes in order; of answers at several places the first samples."""
    if examples is None:
        return []
    if examples.labels.dim() > 1:
        some = examples.select(slice(0, min(MOST, len(examples)))).images
        return [Sample(None, shown) for shown in some]
    first: dict[int, int] = {}
    for number in range(len(examples)):
        first.setdefault(int(examples.labels[number]), number)
        if len(first) == min(len(examples.classes), MOST):
            break
    numbers = [first[label] for label in sorted(first)]
    return [Sample(examples.classes[int(examples.labels[n])], _image(examples, n)) for n in numbers]


def frame(chosen: list[Sample]) -> float:
    """Return which share of the image's side the shapes fill, in the median."""
    shares = []
    for _, shown in chosen:
        inked = (to_float(shown).mean(0) > INK).nonzero() if shown.dim() == 3 else shown.new_zeros(0)
        if len(inked):
            shares.append(float((inked.amax(0) - inked.amin(0) + 1).max()) / shown.shape[-1])
    return sorted(shares)[len(shares) // 2] if shares else FRAME


def _image(examples: LabelledSet, number: int) -> Tensor:
    image: Tensor = examples.select(slice(number, number + 1)).images[0]
    return image


# One HTML file that holds trained models and everything to watch them think: no server, no network.


class Shown(NamedTuple):
    """A model, the title it has on the page, and what it was trained on where that is known."""

    title: str
    model: Thinker
    data: str | None = None


def page(shown: Sequence[Shown], examples: LabelledSet | None = None) -> str:
    """Return the page for models that take the same input, with a few of ``examples``.

    Weights are rounded to half precision, so that the file has half the size: the page's numbers are those of
    :func:`tide.models.saved.rounded`, not those of the model. Raises :class:`InputError` as :func:`check_shown` does,
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
    with writing(path, "give another file with --html"):
        path.write_text(text, encoding="utf-8")


def _model(one: Shown, size: float) -> dict[str, Any]:
    model = rounded(one.model)
    facts = about(one.title, model, one.data, size)
    protos = {n: to_onnx(graph, batch=1) for n, graph in graphs(model, interventions=can_intervene(model)).items()}
    check_answers(model, protos)
    check_operators(one.title, {node.op_type for proto in protos.values() for node in proto.graph.node})
    return {"about": facts, **model_as_json(protos)}


def check_shown(shown: Sequence[Shown]) -> None:
    """Raise :class:`InputError` where models differ in what they take or answer, or one is too large or fits no widget.

    It is quick: to be asked before data are read for a page that there will not be.
    """
    for one in shown:
        check_size(one.title, one.model)
    kinds = {_kind(one.model) for one in shown}
    if len(kinds) != 1:
        raise InputError(f"all models must take and answer the same, got {' and '.join(sorted(kinds))}")


def _kind(model: Thinker) -> str:
    """Return what a model takes and answers, in words."""
    shape = " x ".join(map(str, example_of(model.config, 1).shape[1:]))
    return f"{asked_by(model.config)} of {shape} to answer by {answered_by(model.config)}"


def check_operators(title: str, needed: set[str]) -> None:
    """Raise :class:`InputError` where the page's reader lacks an operator of ONNX that a model needs."""
    unknown = sorted(needed - operators())
    if unknown:
        raise InputError(f"{title} needs the operator {unknown[0]}, which the page's reader lacks; use --out for ONNX")

"""What the page is told of a model: which widget asks it, which views show its answer, what can be done to it."""

from __future__ import annotations

from typing import Any

import torch

from tide.config import ModelConfig, SequenceConfig
from tide.errors import InputError
from tide.export.folder import description
from tide.export.inputs import example_of
from tide.models.thinker import Thinker

MOST_PARAMETERS = 20_000_000  # 40 MB in half precision; a browser thinks about one image for a minute with more
TRUTHS = ("parity", "sort")  # tasks whose right answer the page works out itself, as it does for every maze


def about(title: str, model: Thinker, data: str | None, frame: float) -> dict[str, Any]:
    """Return everything but weights; ``data`` is what the model was trained on, ``frame`` what drawings fill.

    Raises :class:`InputError` as :func:`asked_by` does.
    """
    cell, core, pairs = model.cell, model.config.core, model.cell.pairs()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    shown = example_of(model.config, 1)
    with torch.no_grad():
        state: Any = model.begin(shown)
    activity = [
        {"title": name[:1].upper() + name[1:], "quantity": quantity, "population": "ei"[number]}
        for number, (name, quantity) in enumerate(cell.activity.items())
    ]
    recorded, asked = cell.recordable(), asked_by(model.config)
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
        "places": state.keys.shape[-1] if "attention" in recorded else 0,
        "frame": frame,
    }


def asked_by(config: ModelConfig) -> str:
    """Return the widget: ``picture``, ``maze``, ``bits`` or ``numbers``; raises :class:`InputError` where none fits."""
    if not isinstance(config.input, SequenceConfig):
        return "maze" if answered_by(config) == "route" else "picture"
    if len(config.input.alphabet) not in (0, 2):
        raise InputError(
            f"the alphabet has {len(config.input.alphabet)} symbols, 2 or any numbers fit a page: use --out"
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
            f"{title} has {parameters:,} parameters, at most {MOST_PARAMETERS:,} fit a page: use --out for ONNX"
        )


def _measured(model: Thinker) -> str:
    return f"; {model.card.told()} held out" if model.card is not None else ""

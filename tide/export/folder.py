"""A model as a folder of ONNX files, for a machine without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tide.errors import InputError
from tide.export.graphs import graphs
from tide.export.inputs import described
from tide.export.onnx_graphs import check_installed, to_onnx
from tide.export.whole import whole
from tide.models.thinker import Thinker

FORMAT = 1
DESCRIPTION = "model.json"


def write_folder(model: Thinker, folder: Path) -> list[Path]:
    """Write the graphs :func:`~tide.export.graphs.graphs` and :func:`~tide.export.whole.whole`, and ``model.json``.

    That is ``begin.onnx``, ``tick.onnx``, ``read.onnx``, ``whole.onnx`` and :func:`description`; returns their paths.
    Weights are float32, the batch is free. Raises :class:`InputError` where onnx is missing, a part of the model has no
    form in ONNX, or the folder cannot be written.
    """
    check_installed("onnx", "onnxscript")
    every = {**graphs(model), "whole": whole(model)}
    made = {f"{name}.onnx": to_onnx(graph).SerializeToString() for name, graph in every.items()}
    made[DESCRIPTION] = (json.dumps(description(model), indent=2) + "\n").encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in made.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror}; give a folder that can be written") from error
    return [folder / name for name in made]


def description(model: Thinker) -> dict[str, Any]:
    """Return what one must know beside the graphs: the input wanted, the names of the classes, the ticks."""
    core = model.config.core
    return {
        "format": FORMAT,
        "core": core.kind,
        **described(model.config),
        "ticks": core.ticks,
        "neurons": core.neurons,
        "n_e": getattr(core, "n_e", 0),
        "ratio_target": getattr(core, "ratio_target", None),
    }

"""A model as a folder of ONNX files, for a machine without torch."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tide.errors import InputError, one_line
from tide.export.graphs import Graph, described, graphs, whole
from tide.files import writing
from tide.models.thinker import Thinker
from tide.nn import dynamics as wilson_cowan

if TYPE_CHECKING:
    from onnx import ModelProto


# The three graphs of a model as ONNX.


OPSET = 20


def check_installed(*modules: str) -> None:
    """Raise :class:`InputError` with the command that installs what is missing."""
    from importlib.util import find_spec

    for module in modules:
        if find_spec(module) is None:
            raise InputError(f"{module} must be installed; pip install 'tide-dynamics[export]'")


def to_onnx(graph: Graph, *, batch: int | None = None) -> ModelProto:
    """Return ``graph`` as ONNX, float32; for any batch, or for one of ``batch`` samples only.

    Raises :class:`InputError` where torch cannot express a part in ONNX.
    """
    check_installed("onnx", "onnxscript")
    inputs = [_of_batch(value, graph.batched.get(name), batch) for name, value in graph.inputs.items()]
    free = torch.export.Dim.DYNAMIC
    shapes = tuple(
        {graph.batched[name]: free} if batch is None and name in graph.batched else {} for name in graph.inputs
    )
    try:
        with _quiet(), _with_epsilon():
            program = torch.onnx.export(
                graph.module,
                tuple(inputs),
                dynamo=True,
                dynamic_shapes=(shapes,),  # of *inputs
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                opset_version=OPSET,
                verbose=False,
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        raise InputError(
            f"this model cannot be expressed in ONNX ({one_line(error)[:200]}); change that setting"
        ) from error
    assert program is not None
    return program.model_proto


def _of_batch(value: torch.Tensor, dimension: int | None, batch: int | None) -> torch.Tensor:
    if dimension is None or batch is None:
        return value.contiguous()
    return (
        value.narrow(dimension, 0, 1)
        .expand(*(batch if d == dimension else -1 for d in range(value.dim())))
        .contiguous()
    )


@contextmanager
def _with_epsilon() -> Iterator[None]:
    """Keep what is added to a mean square, 1e-12: a scalar so small, and no vector, onnxscript takes for 0."""
    before = wilson_cowan.RMS_EPSILON
    vars(wilson_cowan)["RMS_EPSILON"] = torch.full((1,), before)
    try:
        yield
    finally:
        vars(wilson_cowan)["RMS_EPSILON"] = before


@contextmanager
def _quiet() -> Iterator[None]:
    """torch's exporter speaks of its own affairs; whoever exports has no use for that."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)


# A model as a folder of ONNX files, for a machine without torch.


FORMAT = 1
DESCRIPTION = "model.json"


def write_folder(model: Thinker, folder: Path) -> list[Path]:
    """Write the graphs :func:`~tide.export.graphs.graphs` and :func:`~tide.export.graphs.whole`, and ``model.json``.

    That is ``begin.onnx``, ``tick.onnx``, ``read.onnx``, ``whole.onnx`` and :func:`description`; returns their paths.
    Weights are float32, the batch is free. Raises :class:`InputError` where onnx is missing, a part of the model has no
    form in ONNX, or the folder cannot be written.
    """
    check_installed("onnx", "onnxscript")
    every = {**graphs(model), "whole": whole(model)}
    made = {f"{name}.onnx": to_onnx(graph).SerializeToString() for name, graph in every.items()}
    made[DESCRIPTION] = (json.dumps(description(model), indent=2) + "\n").encode()
    with writing(folder, "give another folder with --out"):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in made.items():
            (folder / name).write_bytes(content)
    return [folder / name for name in made]


def description(model: Thinker) -> dict[str, Any]:
    """Return what one must know beside the graphs: the input, the names of the classes, the ticks."""
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

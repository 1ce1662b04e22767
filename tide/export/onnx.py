"""A model as a folder of ONNX files, for a machine without torch."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tide.errors import InputError, one_line
from tide.export.graphs import NEXT, Graph, described, example_of, graphs, input_name, whole
from tide.files import writing
from tide.models.heads import arranged
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


FIRST = 5  # ticks compared: over many a network may magnify rounding
NEAR = 1e-3  # of the largest logit: a hundred times what rounding makes of them


def check_answers(model: Thinker, protos: Mapping[str, ModelProto]) -> None:
    """Raise :class:`InputError` unless the graphs begin, tick, read (and whole) answer as ``model``, one example."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
    sessions = {
        name: onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        for name, proto in protos.items()
    }

    def run(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        session = sessions[name]
        outputs = [output.name for output in session.get_outputs()]
        return dict(
            zip(outputs, session.run(outputs, {i.name: values[i.name] for i in session.get_inputs()}), strict=True)
        )

    shown, neurons, needed = example_of(model.config, 1), model.config.core.neurons, model.cell.used_by("readout")
    switches = {"active": np.ones(neurons, np.float32), "inhibition": np.ones((), np.float32)}
    values = {input_name(model.config): shown.numpy(), **switches}
    values |= run("begin", values)
    seen: list[dict[str, Any]] = []
    for _ in range(model.config.core.ticks):
        values |= run("tick", values)
        values |= run("read", values)
        values |= {n.removeprefix(NEXT): value for n, value in values.items() if n.startswith(NEXT)}
        seen.append(values.copy())
    stacked = {name: np.stack([tick[name] for tick in seen], 1) for name in needed}
    with torch.no_grad():
        first = model(shown, ticks=min(len(seen), FIRST)).logits
        read = model.cell.readout({name: torch.from_numpy(value) for name, value in stacked.items()}).logits
    pairs = {"begin, tick and read": (np.stack([tick["logits"] for tick in seen[:FIRST]], -1), first)}
    if "whole" in protos:
        pairs["whole"] = (run("whole", stacked)["logits"], arranged(read, model.config.output))
    for name, (logits, expected) in pairs.items():
        error, largest = float(np.abs(logits - expected.numpy()).max()), float(expected.abs().max())
        if not error <= NEAR * max(1.0, largest):
            raise InputError(
                f"the graphs {name} must answer as the model does, got logits that are {error:.3g} apart; a part was "
                "changed in the model or in tide/export alone"
            )


# A model as a folder of ONNX files, for a machine without torch.


FORMAT = 1
DESCRIPTION = "model.json"


def write_folder(model: Thinker, folder: Path) -> list[Path]:
    """Write the graphs :func:`~tide.export.graphs.graphs` and :func:`~tide.export.graphs.whole`, and ``model.json``.

    That is ``begin.onnx``, ``tick.onnx``, ``read.onnx``, ``whole.onnx`` and :func:`description`; returns their paths.
    Weights are float32, the batch is free. Raises :class:`InputError` where onnx is missing, a part of the model has no
    form in ONNX, or the folder cannot be written.
    """
    check_installed("onnx", "onnxscript", "onnxruntime")
    protos = {name: to_onnx(graph) for name, graph in {**graphs(model), "whole": whole(model)}.items()}
    check_answers(model, protos)
    made = {f"{name}.onnx": proto.SerializeToString() for name, proto in protos.items()}
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

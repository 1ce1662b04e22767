"""ONNX graphs as the page reads them: nodes as JSON, constants as one packed text (``tide/page/reader/``)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from onnx import ModelProto

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

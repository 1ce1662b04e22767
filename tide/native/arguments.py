"""Mirror of ``source/arguments.h``: what a call into the native library hands over, field by field."""

from __future__ import annotations

from collections.abc import Mapping
from ctypes import Structure, c_double, c_int64, c_void_p
from typing import Any, TypeVar

from torch import Tensor

STREAMS = 3  # at most

NORMS = {"none": 0, "rms": 1, "rms_cap": 2}

AnyPointers = TypeVar("AnyPointers", bound="Pointers")


class Sizes(Structure):
    """Sizes and settings of a call."""

    _fields_ = (
        *((name, c_int64) for name in ("batch", "ticks", "iterations", "heads", "head_width", "positions")),
        *(
            (name, c_int64)
            for name in ("neurons", "excitatory", "pool", "hidden", "memory", "pairs", "streams", "latent")
        ),
        ("stream_pairs", c_int64 * STREAMS),
        *(
            (name, c_int64)
            for name in ("norm", "feedback", "early_stop", "keep_ticks", "states_stay", "goes_on", "first_tick")
        ),
        ("history_slots", c_int64),
        *((name, c_double) for name in ("tolerance", "clamp", "attention_epsilon", "latent_epsilon", "rms_epsilon")),
    )


class Pointers(Structure):
    """Named addresses of tensors."""

    @classmethod
    def to(cls: type[AnyPointers], tensors: Mapping[str, Tensor | None]) -> AnyPointers:
        """Return the addresses of contiguous tensors; names that are missing or None are null.

        Whoever calls keeps the tensors alive.
        """
        found = cls()
        for name, tensor in tensors.items():
            if tensor is None:
                continue
            assert tensor.is_contiguous(), name
            stem, _, number = name.rpartition("_")
            if number.isdigit():
                getattr(found, stem)[int(number)] = tensor.data_ptr()
            else:
                assert hasattr(found, name), name
                setattr(found, name, tensor.data_ptr())
        return found


def _pointers(names: str) -> list[tuple[str, Any]]:
    """Return fields of these names: an address each, of ``stream`` and ``stream_bias`` one per stream."""
    streams = ("stream", "stream_bias")
    return [(name, c_void_p * STREAMS if name in streams else c_void_p) for name in names.split()]


class Weights(Pointers):
    """Weights of the forward pass; both passes read some of them."""

    _fields_ = _pointers(
        "left right query query_bias output output_bias skip skip_bias attention_gain attention_bias map map_bias gain "
        "alpha excite inhibit first first_bias second second_bias retention stream stream_bias latent_gain latent_bias"
    )


class Start(Pointers):
    """The image's keys and values, and the state before the first tick."""

    _fields_ = _pointers("keys values sample rates history products latent scale")


class Outcome(Pointers):
    """What a call returns."""

    _fields_ = _pointers(
        "latent sums power iterations euler preactivation attended rates history products",
    )


class Trace(Pointers):
    """Intermediate results."""

    _fields_ = _pointers(
        "query attention read attended_hat attended_scale entering normalised inverse_rms euler inhibited pool "
        "iterations history gated correction corrected entering_products synchrony latent_hat latent_scale "
        "entering_latent"
    )


class Transposed(Pointers):
    """Transposed weights, keys and values of the backward pass."""

    _fields_ = _pointers("query output skip map excite inhibit first stream keys values")


class Arriving(Pointers):
    """Gradients of what :class:`Outcome` returned."""

    _fields_ = _pointers("latent sums power euler preactivation attended rates history products")


class Leaving(Pointers):
    """Gradients that the backward pass returns."""

    _fields_ = _pointers(
        "query score read output map inhibited pool gated correction streams attention_gain attention_bias gain "
        "retention latent_gain latent_bias scale rates history products latent first first_bias second second_bias"
    )


class Call(Structure):
    """All of it."""

    _fields_ = (
        ("sizes", Sizes),
        ("weights", Weights),
        ("start", Start),
        ("outcome", Outcome),
        ("trace", Trace),
        ("transposed", Transposed),
        ("arriving", Arriving),
        ("leaving", Leaving),
    )

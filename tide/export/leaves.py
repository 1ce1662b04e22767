"""Nested named tuples of tensors as flat mappings of named tensors, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def leaves(value: Any, name: str = "") -> dict[str, Tensor]:
    """Return the tensors of nested named tuples by path: ``synchrony.products`` is ``synchrony_products``.

    None holds none; the elements of a plain tuple are called by number.
    """
    if isinstance(value, Tensor):
        return {name: value}
    found: dict[str, Tensor] = {}
    for key, part in _parts(value):
        found |= leaves(part, f"{name}_{key}" if name else key)
    return found


def rebuilt(like: Any, values: Mapping[str, Tensor], name: str = "") -> Any:
    """Return ``like`` with the tensors that ``values`` names by path; the others stay as they are."""
    if isinstance(like, Tensor):
        return values.get(name, like)
    if like is None:
        return None
    parts = [rebuilt(part, values, f"{name}_{key}" if name else key) for key, part in _parts(like)]
    return type(like)(*parts) if hasattr(like, "_fields") else tuple(parts)


def _parts(value: Any) -> list[tuple[str, Any]]:
    if value is None:
        return []
    names = getattr(value, "_fields", None) or [str(number) for number in range(len(value))]
    return list(zip(names, value, strict=True))

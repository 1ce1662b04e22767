"""JSON files that hold a mapping, read with care and written without NaN."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the mapping that a JSON file holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON, is nested beyond reason, or holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError(f"it holds a {type(found).__name__}, no mapping")
    return found


def finite(value: Any) -> Any:
    """Return a value for JSON, which has no NaN and no infinity: null is in their place, in nested ones too."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

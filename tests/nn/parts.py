"""A part of TIDE's cell for a configuration of its core."""

from __future__ import annotations

from typing import Any

from tide.config import CoreConfig
from tide.models.tide import TideCell


def part(name: str, core: CoreConfig, *, seed: int = 0) -> Any:
    """Return a part of the cell by its name, as it is drawn first after the global generator is seeded with 0."""
    return getattr(TideCell(core, features=8, outputs=4, seed=seed), name)

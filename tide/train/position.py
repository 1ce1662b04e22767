"""Where a run stands."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Self


@dataclass
class Position:
    """Where a run stands: saved in every checkpoint. All randomness derives from the seed and the step."""

    step: int = 0
    evaluated_step: int = 0
    best_accuracy: float = -1.0
    best_step: int = 0
    last_accuracy: float = -1.0
    rejected: int = 0
    rejected_in_a_row: int = 0
    data_crc: int = 0
    seconds: float = 0.0

    @classmethod
    def restored(cls, state: Any, steps: int) -> Self:
        """Return the position that a checkpoint of a run of so many steps holds.

        Raises:
            ValueError: a field is missing, of another type or out of range; TypeError for what is no mapping.
        """
        position = cls(**state)
        for field in fields(cls):
            value, whole = getattr(position, field.name), field.type == "int"
            if type(value) is not int and (whole or type(value) is not float):
                raise ValueError(f"{field.name} is {value!r}, a number is wanted")
            least = -1 if field.name.endswith("accuracy") else 0
            if not math.isfinite(value) or value < least:
                raise ValueError(f"{field.name} is {value}, {least} or more is wanted")
        for name, most in (("step", steps), ("evaluated_step", position.step), ("best_step", position.step)):
            if getattr(position, name) > most:
                raise ValueError(f"{name} is {getattr(position, name)}, at most {most} is wanted")
        return position

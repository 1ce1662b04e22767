"""Readings of a run shown elsewhere, too: TensorBoard, or what another package offers.

``metrics.jsonl`` stays the truth: a tracker sees a line once it is written there, and one that fails is left out while
the run goes on. Another package offers a tracker by an entry point of the group ``tide.trackers``: a function of the
run's folder, its settings (a mapping) and the first step that will be logged, which returns a :class:`Tracker`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from tide.errors import InputError, did_you_mean, one_line

GROUP = "tide.trackers"
Maker = Callable[[Path, Mapping[str, Any], int], "Tracker"]


class Tracker(Protocol):
    """What a run shows its readings to."""

    def log(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Take the finite numbers of one line: ``train``, ``monitor``, ``probe``, ``evaluation`` or ``rejection``."""
        ...

    def close(self) -> None:
        """Write what is held back."""
        ...


class TensorBoard:
    """Scalars ``KIND/NAME`` in ``RUN/tensorboard``; a run that is continued writes over what it had logged ahead."""

    def __init__(self, run: Path, settings: Mapping[str, Any], first: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(run / "tensorboard"), purge_step=first)

    def log(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Write the numbers of one line."""
        for name, value in values.items():
            self._writer.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Write what is held back."""
        self._writer.close()


class Trackers:
    """Those of one run; a line of ``metrics.jsonl`` goes to each."""

    def __init__(self, made: Mapping[str, Tracker]) -> None:
        self._made = dict(made)

    def log(self, line: Mapping[str, Any]) -> None:
        """Show the finite numbers of a line to each; one that fails is left out from then on, with a warning."""
        rest = {name: value for name, value in line.items() if name not in ("kind", "step")}
        numbers = {name: float(value) for name, value in rest.items() if _is_number(value)}
        self._each(lambda tracker: tracker.log(str(line["kind"]), int(line["step"]), numbers))

    def close(self) -> None:
        """Close each."""
        self._each(lambda tracker: tracker.close())
        self._made.clear()

    def _each(self, do: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._made.items()):
            try:
                do(tracker)
            except Exception as error:  # whatever it is, it is not worth a training run
                warnings.warn(f"tracker {name} failed ({one_line(error)}) and is left out from here on", stacklevel=2)
                del self._made[name]


def open_trackers(names: Sequence[str], run: Path, settings: Mapping[str, Any], first: int) -> Trackers:
    """Return the trackers of these names; ``first`` is the first step that will be logged.

    Raises :class:`InputError` as :func:`check_trackers` does, and where a package that one wants is missing.
    """
    check_trackers(names)
    return Trackers({name: known()[name]()(run, settings, first) for name in names})


def check_trackers(names: Sequence[str]) -> None:
    """Raise :class:`InputError` for a name that is not known, before a run is started for it."""
    makers = known()
    for name in names:
        if name not in makers:
            raise InputError(f"unknown tracker {name!r}{did_you_mean(name, makers)}")
        if name == "tensorboard" and find_spec(name) is None:
            raise InputError("tensorboard must be installed for --track; pip install 'tide-dynamics[tensorboard]'")


def known() -> dict[str, Callable[[], Maker]]:
    """Return how to load each tracker there is, by name."""
    return {"tensorboard": lambda: TensorBoard, **{point.name: point.load for point in entry_points(group=GROUP)}}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

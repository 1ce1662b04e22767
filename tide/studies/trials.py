"""One training run of a study, and where it stands on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from tide.config import Config, FolderConfig, HubConfig, ImageConfig
from tide.config_io import differences
from tide.errors import CheckpointError, InputError
from tide.runs.folder import RunFolder


class State(Enum):
    """Where a trial stands."""

    NEW = "new"
    STARTED = "started"
    DONE = "done"


@dataclass(frozen=True)
class Trial:
    """A run to be made: its name (that of its folder) and its whole, resolved configuration."""

    name: str
    config: Config

    def folder(self, out: Path) -> Path:
        """Return the trial's run folder inside that of the study."""
        return out / self.name

    def state(self, out: Path) -> State:
        """Return where the trial stands.

        Raises :class:`CheckpointError` where its folder is damaged, or holds a run with other settings.
        """
        path = self.folder(out)
        if not path.exists() or not any(path.iterdir()):
            return State.NEW
        run = RunFolder.open(path)
        there = run.config
        changed = differences(self._as_fitted(there), there)
        if changed:
            raise CheckpointError(
                f"{path} was trained with other settings ({'; '.join(changed[:3])}{'; …' * (len(changed) > 3)}): give "
                "another --out, or the settings it was started with"
            )
        if not (path / "results.json").exists():
            return State.STARTED
        return State.DONE if run.results().get("complete") else State.STARTED

    def _as_fitted(self, there: Config) -> Config:
        """Return the settings with what a run takes from its data, as it did: names of classes, and of photos more."""
        data, image, output, met = self.config.data, self.config.input, self.config.output, there.output
        output = replace(output, labels=met.labels if len(met.labels) == output.classes else output.labels)
        if isinstance(data, FolderConfig | HubConfig):
            output = met
            if isinstance(data, FolderConfig) and data.photos == "in_memory" and isinstance(image, ImageConfig):
                image = replace(image, mean=there.images.mean, std=there.images.std)
        if isinstance(data, HubConfig) and there.data.name.startswith(f"{data.name}@"):  # the commit, if left open
            data = replace(data, name=there.data.name)
        return replace(self.config, input=image, output=output, data=data)


def check_seeds(seeds: tuple[int, ...]) -> None:
    """Raise :class:`InputError` for no seed and for repeated ones."""
    if not seeds:
        raise InputError("no seed given; name one or more with --seeds 42 43 44")
    repeated = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if repeated:
        raise InputError(
            f"seed {repeated[0]} is given {seeds.count(repeated[0])} times, once is wanted: a repeated run"
        )


def shared_changes(
    changes: Mapping[str, Any], *, ticks: int | None = None, memory_length: int | None = None, batch: int | None = None
) -> dict[str, Any]:
    """Return changes of TIDE's settings with those on top that are given; a baseline takes over what it shares."""
    values: dict[tuple[str, ...], int | None] = {
        ("core", "ticks"): ticks,
        ("core", "neuron_models", "memory_length"): memory_length,
        ("train", "batch"): batch,
    }
    result = dict(changes)
    for path, value in values.items():
        if value is not None:
            result = _with(result, path, value)
    return result


def _with(settings: Any, path: Sequence[str], value: Any) -> Any:
    """Return nested ``settings`` with one value set; what is no mapping stays, to be refused where it is read."""
    if not path:
        return value
    if not isinstance(settings, Mapping):
        return settings
    return {**settings, path[0]: _with(settings.get(path[0], {}), path[1:], value)}

"""The time of a training step over that of another, measured in turn and only once."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.train.conftest import TINY
from tide.config import Config
from tide.config.io import from_dict
from tide.device import synchronize
from tide.errors import CheckpointError
from tide.models.presets import preset
from tide.studies.ablation import Variant, step_time_factors
from tide.studies.runner import Trial
from tide.train import step as timing
from tide.train.supervised import resolved

CPU = torch.device("cpu")


@pytest.fixture
def variants(tmp_path: Path) -> list[Variant]:
    base = resolved(preset("digits", **TINY))
    longer = from_dict(Config, {"core": {"ticks": 24}}, base=base)
    trials = [Trial("baseline", base), Trial("longer", longer)]
    for trial in trials:
        trial.folder(tmp_path).mkdir()
    return [Variant("ticks", trial.name, trial, trials[0]) for trial in trials]


def test_a_thought_eight_times_as_long_takes_longer_and_is_timed_once(
    variants: list[Variant], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDE_NATIVE", "0")  # compiled, the ticks of so small a network are lost beside its backbone
    asked: list[tuple[str, int, int]] = []

    def measured() -> dict[str, float]:
        return step_time_factors(variants, tmp_path, 3, CPU, lambda *told: asked.append(told))

    factors = measured()
    assert factors["baseline"] == 1
    assert 1.5 < factors["longer"] < 40
    assert measured() == factors
    assert asked == [("longer", 1, 2)]
    file = tmp_path / "longer" / "step_time.json"
    kept = json.loads(file.read_text(encoding="utf-8"))
    assert kept["reference"] == "baseline"
    assert kept["factor"] == factors["longer"]
    file.write_text("{}", encoding="utf-8")
    with pytest.raises(CheckpointError, match="remove it and it is measured again"):
        measured()


def test_functions_take_turns_and_warm_up_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, calls = [0.0], []
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: clock[0]))

    def worker(name: str, seconds: float):
        def work() -> None:
            calls.append(name)
            clock[0] += seconds

        return work

    assert timing.alternate([worker("a", 1.0), worker("b", 4.0)], 2, CPU, warmup=1) == [[1.0, 1.0], [4.0, 4.0]]
    assert calls == ["a", "b"] * 3


@pytest.mark.parametrize("kind", ["cpu", "cuda", "mps"])
def test_each_kind_of_device_is_waited_for_by_its_own_means(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[str] = []
    for name in ("cuda", "mps"):
        monkeypatch.setattr(getattr(torch, name), "synchronize", lambda *device, name=name: waited.append(name))
    synchronize(torch.device(kind))
    assert waited == ([] if kind == "cpu" else [kind])

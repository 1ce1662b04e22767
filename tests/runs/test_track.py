"""Trackers see what metrics.jsonl holds; one that fails costs a warning, not the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tide.cli.main import main
from tide.errors import InputError
from tide.runs import track
from tide.runs.folder import RunFolder
from tide.runs.track import TensorBoard, Trackers, open_trackers

SMALL = "--steps 2 --ticks 2 --batch 8 --backbone.width 4 --backbone.branch-width 2 --core.neurons 30 --threads 1"
PAIRS = "--core.synchrony.pairs-ee 20 --core.synchrony.pairs-ei 20 --core.synchrony.pairs-ii 6"


class Seen:
    """A tracker that another package might offer."""

    made: ClassVar[list[Seen]] = []

    def __init__(self, run: Path, settings: Mapping[str, Any], first: int) -> None:
        self.run, self.settings, self.first, self.closed = run, settings, first, False
        self.lines: list[tuple[str, int, dict[str, float]]] = []
        Seen.made.append(self)

    def log(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        self.lines.append((kind, step, dict(values)))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> list[Seen]:
    """The trackers made from an entry point named ``seen``."""
    point = EntryPoint("seen", "tests.runs.test_track:Seen", track.GROUP)
    monkeypatch.setattr(track, "entry_points", lambda group: EntryPoints([point]).select(group=group))
    monkeypatch.setattr(Seen, "made", [])
    return Seen.made


def test_a_run_shows_every_line_of_its_metrics(offered: list[Seen], tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert main(["train", "digits", *SMALL.split(), *PAIRS.split(), "--track", "seen", "--out", str(out)]) == 0
    (tracker,) = offered
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [(kind, step) for kind, step, _ in tracker.lines] == [(line["kind"], line["step"]) for line in lines]
    for (_, _, values), line in zip(tracker.lines, lines, strict=True):
        assert values == {name: line[name] for name in values}
        assert set(values) == {n for n, v in line.items() if isinstance(v, int | float) and n != "step"}
    assert (tracker.run, tracker.first, tracker.closed) == (out, 1, True)
    assert tracker.settings["core"]["neurons"] == 30


def test_tensorboard_holds_the_finite_numbers_of_both_halves_of_a_run(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="no tensorboard: pip install 'tide-dynamics[tensorboard]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for first, steps in ((1, (1, 2, 3)), (3, (3, 4))):  # the second half logs step 3 again
        trackers = open_trackers(["tensorboard"], tmp_path, {}, first)
        for step in steps:
            trackers.log({"kind": "train", "step": step, "loss": first + step / 8, "nan": float("nan"), "alarms": []})
        trackers.close()
    found = EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    assert found.Tags()["scalars"] == ["train/loss"]
    assert [(e.step, e.value) for e in found.Scalars("train/loss")] == [(1, 1.125), (2, 1.25), (3, 3.375), (4, 3.5)]


def test_a_tracker_that_fails_is_left_out_and_the_line_is_on_disk(tmp_path: Path) -> None:
    class Broken(Seen):
        def log(self, kind: str, step: int, values: Mapping[str, float]) -> None:
            raise ConnectionError("no network")

    run, whole = RunFolder(tmp_path), Seen(tmp_path, {}, 1)
    run.trackers = Trackers({"broken": Broken(tmp_path, {}, 1), "whole": whole})
    with pytest.warns(UserWarning, match=r"tracker broken failed \(no network\) and is left out"):
        run.append("metrics", {"kind": "train", "step": 1, "loss": 0.5})
    run.append("metrics", {"kind": "train", "step": 2, "loss": 0.25})
    assert whole.lines == [("train", 1, {"loss": 0.5}), ("train", 2, {"loss": 0.25})]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2


def test_an_unknown_or_missing_tracker_is_one_line_and_starts_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "digits", "--track", "tensorbord", "--out", str(tmp_path / "run")]) == 2
    assert "unknown tracker 'tensorbord'; did you mean 'tensorboard'?" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(track, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"tensorboard must be installed .*tide-dynamics\[tensorboard\]"):
        open_trackers(["tensorboard"], tmp_path, {}, 1)


def test_tensorboard_is_one_of_the_trackers_known() -> None:
    assert track.known()["tensorboard"]() is TensorBoard

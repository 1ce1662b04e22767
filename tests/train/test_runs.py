"""Whole runs as processes: kill and resume bit for bit, signals, a disk that fails."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.conftest import TINY
from tide.cli.main import main
from tide.config.io import flatten
from tide.runs.folder import RunFolder
from tide.train.run import StopRequest
from tide.train.step import Trainer


def options(**changes: str) -> list[str]:
    """Return the tiny experiment as command-line options."""
    flat = {key.replace("_", "-"): str(value) for key, value in flatten(TINY).items()} | changes
    return [part for key, value in flat.items() for part in (f"--{key}", value)]


def start(*arguments: str, **process: Any) -> subprocess.Popen[str]:
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "tide", "train", *arguments, "--threads", "1", "--device", "cpu"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **process,
    )


def wait_for_step(run: Path, step: int) -> None:
    """Wait until a run has logged a step."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        log = run / "timing.jsonl"
        if log.is_file() and len(log.read_text().splitlines()) >= step:
            return
        time.sleep(0.02)
    raise AssertionError(f"{run} did not reach step {step} in a minute")


def resume(run: Path) -> int:
    """Continue a run in this process, which spares a start-up."""
    return main(["train", "--resume", str(run), "--threads", "1", "--device", "cpu"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 20 steps without interruption."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    assert main(["train", "digits", *options(), "--out", str(run), "--threads", "1", "--device", "cpu"]) == 0
    return run


def assert_same_run(a: Path, b: Path) -> None:
    """Compare weights, metrics, optimiser and monitor of two finished runs bit for bit."""
    for name in ("last/model.safetensors", "best/model.safetensors", "metrics.jsonl", "config.yaml"):
        assert (a / name).read_bytes() == (b / name).read_bytes(), name
    first, second = (torch.load(run / "last" / "training.pt", weights_only=True) for run in (a, b))
    assert first["monitor"] == second["monitor"]
    for key, state in first["optimizer"]["state"].items():
        for name, value in state.items():
            assert torch.equal(value, second["optimizer"]["state"][key][name])
    ours, theirs = (dict(t["position"], seconds=0) for t in (first, second))
    assert ours == theirs


@pytest.mark.parametrize("step", [1, 10])
def test_some_steps_a_kill_and_the_rest_equal_twenty(whole: Path, tmp_path: Path, step: int) -> None:
    """Checkpoints come every four steps; the kill at step one comes before the first of them."""
    run = tmp_path / "killed"
    process = start("digits", *options(), "--out", str(run))
    wait_for_step(run, step)
    process.kill()
    process.wait(timeout=60)
    assert resume(run) == 0
    assert_same_run(whole, run)
    evaluations = RunFolder.open(run).metrics("evaluation")
    assert [line["step"] for line in evaluations] == [8, 16, 20]
    results = json.loads((run / "results.json").read_text())
    assert results["complete"]
    assert results["best_accuracy"] == max(line["accuracy"] for line in evaluations)
    assert results["last_accuracy"] == evaluations[-1]["accuracy"]


def test_a_warning_of_a_scheduler_asks_once_however_often_it_comes_and_a_second_signal_ends_at_once() -> None:
    """Slurm sends SIGUSR1 and then SIGTERM; beyond a limit of CPU time SIGXCPU comes once a second."""
    with StopRequest() as stop:
        for number in (signal.SIGXCPU, signal.SIGXCPU, signal.SIGUSR2, signal.SIGUSR1):
            signal.raise_signal(number)
            assert stop.received == number
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGUSR1)
        assert stop.received == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_and_leaves_cleanly(whole: Path, tmp_path: Path, number: signal.Signals) -> None:
    run = tmp_path / "stopped"
    process = start("digits", *options(), "--out", str(run))
    wait_for_step(run, 2)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "everything is saved" in errors
    assert "Traceback" not in errors
    assert not json.loads((run / "results.json").read_text())["complete"]
    assert resume(run) == 0
    assert_same_run(whole, run)


def limit_file_size() -> None:
    """Let writes fail beyond 64 KiB, as they do on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))


def test_a_failing_disk_gives_one_line_and_keeps_the_last_checkpoint(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "full"
    take = Trainer.step

    def leave_at_six(self: Trainer, index: int, batches: Any) -> Any:
        if index == 6:
            signal.raise_signal(signal.SIGTERM)
        return take(self, index, batches)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", leave_at_six)
        stopped = main(["train", "digits", *options(), "--out", str(run), "--threads", "1", "--device", "cpu"])
    assert stopped == 128 + signal.SIGTERM
    before = {path.name: path.read_bytes() for path in (run / "last").iterdir()}
    failing = start("--resume", str(run), preexec_fn=limit_file_size)
    _, errors = failing.communicate(timeout=60)
    assert failing.returncode == 2
    lines = [line for line in errors.splitlines() if "error" in line]
    assert len(lines) == 1
    assert "the last good one is intact" in lines[0]
    assert "Traceback" not in errors
    assert {path.name: path.read_bytes() for path in (run / "last").iterdir()} == before
    assert resume(run) == 0
    assert_same_run(whole, run)


@pytest.mark.parametrize("name", ["last/training.pt", "last/model.safetensors"])
def test_a_truncated_checkpoint_is_named(
    whole: Path, tmp_path: Path, name: str, copy_run: Callable[[Path, Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy_run(whole, tmp_path / "copy")
    content = (run / name).read_bytes()
    (run / name).write_bytes(content[: len(content) // 2])
    assert resume(run) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert name in line
    assert "damaged" in line


def test_code_in_a_checkpoint_is_never_run(
    whole: Path, tmp_path: Path, copy_run: Callable[[Path, Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy_run(whole, tmp_path / "copy")
    witness = tmp_path / "witness"

    class Evil:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.system, (f"touch {witness}",)

    torch.save({"format": 1, "optimizer": Evil()}, run / "last" / "training.pt")
    assert resume(run) == 2
    assert "training.pt is damaged or no checkpoint" in capsys.readouterr().err
    assert not witness.exists()

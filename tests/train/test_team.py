"""Several processes train the model that one would, survive the loss of one, and resume on another number."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.train import team_worker
from tests.train.conftest import TINY
from tide.cli.main import main
from tide.config import Config
from tide.data import Splits
from tide.device import pick_workers
from tide.errors import ConfigError, DataError, InputError
from tide.runs.folder import SilentRun
from tide.train.report import SilentReporter
from tide.train.supervised import supervised_run
from tide.train.team import ALONE, Team

ROOT = Path(__file__).parents[2]
PLACE = ["--device", "cpu", "--threads", "1"]
TRAIN = ["-m", "tide", "train", "digits", *PLACE]


def launch(processes: int, *arguments: str) -> subprocess.Popen[str]:
    """Start a program on so many processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    runner = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--master-addr", "127.0.0.1"]
    command = [sys.executable, *runner, "--master-port", str(port), *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(process: subprocess.Popen[str], timeout: float = 120) -> str:
    output, _ = process.communicate(timeout=timeout)
    return output


def settings(folder: Path, steps: int) -> Path:
    train = {**TINY["train"], "steps": steps, "accumulation": 2, "eval_every": 1000, "checkpoint_every": 5}
    path = folder / "settings.yaml"
    path.write_text(yaml.safe_dump({**TINY, "train": train}), encoding="utf-8")
    return path


def data_order(run: Path) -> list[tuple[int, int]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [(line["step"], line["data_crc"]) for line in lines if line["kind"] == "train"]


def largest_difference(first: Path, second: Path) -> float:
    a, b = load_file(first), load_file(second)
    assert a.keys() == b.keys()
    return max(float((a[name].double() - b[name].double()).abs().max()) for name in a)


def test_two_processes_and_two_accumulated_micro_batches_are_one(tmp_path: Path) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    process = launch(2, "-m", "tests.train.team_worker", str(together))
    output = finish(process)
    assert process.returncode == 0, output
    team_worker.main(alone)
    for dtype, tolerance in (("float64", 1e-9), ("float32", 1e-5)):
        name = f"{dtype}.safetensors"
        assert largest_difference(alone / name, together / name) < tolerance
        assert not torch.equal(load_file(alone / name)["multipliers"], torch.ones(3, dtype=torch.float64))


def test_a_killed_process_ends_the_others_and_the_run_goes_on_alone_with_the_same_data(tmp_path: Path) -> None:
    file = settings(tmp_path, steps=60)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    # What runs alone runs in this process, which spares a start-up.
    assert main(["train", "digits", *PLACE, "--config", str(file), "--out", str(whole)]) == 0

    process = launch(2, *TRAIN, "--config", str(file), "--out", str(broken))
    deadline = time.monotonic() + 60
    while not (broken / "last" / "training.pt").is_file() or (broken / "timing.jsonl").stat().st_size < 600:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8").split()
    os.kill(int(children[-1]), signal.SIGKILL)
    output = finish(process, timeout=60)
    assert process.returncode != 0
    assert "tide: error: another process of this run ended or does not answer" in output or "SIGTERM" in output
    assert len(data_order(broken)) < 60

    assert main(["train", *PLACE, "--resume", str(broken)]) == 0
    assert data_order(broken) == data_order(whole)
    name = "last/model.safetensors"
    assert largest_difference(whole / name, broken / name) < 1e-5


def test_every_process_must_get_the_same_share() -> None:
    assert list(Team(1, 3).share(6, "train.accumulation")) == [1, 4]
    assert list(ALONE.share(3, "train.accumulation")) == [0, 1, 2]
    with pytest.raises(ConfigError, match=r"train.accumulation must be a multiple of the 3 processes, got 4"):
        Team(0, 3).share(4, "train.accumulation")


TEAM = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, Team(1, 2, 0)),
        ({"LOCAL_WORLD_SIZE": ""}, Team(1, 2, 0)),
        (dict.fromkeys(TEAM, ""), ALONE),
        ({**dict.fromkeys(TEAM, ""), "WORLD_SIZE": "1"}, ALONE),
        ({"WORLD_SIZE": " 1 ", "RANK": "x", "MASTER_PORT": "x"}, ALONE),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE must be a whole number of at least 1, got '0'; start with torchrun"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE must be a whole number of at least 1, got 'two'"),
        ({"RANK": ""}, "RANK must be a whole number from 0 to 1, got ''"),
        ({"RANK": "2"}, "RANK must be a whole number from 0 to 1, got '2'"),
        ({"LOCAL_RANK": "-1"}, "LOCAL_RANK must be a whole number from 0 to 1, got '-1'"),
        ({"LOCAL_WORLD_SIZE": "1", "LOCAL_RANK": "1"}, "LOCAL_RANK must be a whole number from 0 to 0, got '1'"),
        ({"LOCAL_WORLD_SIZE": "9"}, "LOCAL_WORLD_SIZE must be a whole number from 1 to 2, got '9'"),
        ({"MASTER_ADDR": ""}, "MASTER_ADDR must be set for WORLD_SIZE 2; start with torchrun"),
        ({"MASTER_PORT": ""}, "MASTER_PORT must be a whole number from 1 to 65535, got ''"),
        ({"MASTER_PORT": "9" * 5000}, "MASTER_PORT must be a whole number from 1 to 65535, got '999"),
    ],
)
def test_a_team_of_one_needs_no_variable_and_one_of_two_says_which_is_wrong(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, str], expected: Team | str
) -> None:
    for name, value in (TEAM | {"LOCAL_WORLD_SIZE": ""} | changed).items():
        monkeypatch.setenv(name, value)
    if isinstance(expected, Team):
        assert Team.from_environment() == expected
    else:
        with pytest.raises(InputError, match=f"^{re.escape(expected)}"):
            Team.from_environment()


def test_the_share_of_the_cores_is_that_of_a_process_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tide.device.available_cores", lambda: 8)
    for value, workers in (("", 7), ("2", 3)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", value)
        assert pick_workers(None) == workers
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "0")
    with pytest.raises(InputError, match="LOCAL_WORLD_SIZE must be a whole number of at least 1, got '0'"):
        pick_workers(None)


def test_processes_with_other_data_are_refused(tiny: Config, digits: Splits) -> None:
    class Other(Team):
        def gather(self, value: Any) -> list[Any]:
            return [value, {**value, "test": {**value["test"], "checksum": value["test"]["checksum"] + 1}}]

    with pytest.raises(DataError, match="must read the same data, process 1 reads other data than process 0"):
        supervised_run(tiny, digits, SilentRun(Path("nowhere")), SilentReporter(1), team=Other())


def test_settings_that_cannot_be_shared_give_one_line_and_write_nothing(tmp_path: Path) -> None:
    process = launch(2, *TRAIN, "--out", str(tmp_path / "run"), "--train.steps", "4")
    output = finish(process)
    assert process.returncode != 0
    assert "tide: error: train.accumulation must be a multiple of the 2 processes, got 1" in output
    assert list(tmp_path.iterdir()) == []

"""Training and testing on a data set of the Hugging Face hub, which this machine plays, by the commands of a user."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.data.hub_server import COMMIT, Hub, serve
from tests.parquet import write
from tests.train.conftest import TINY


@pytest.fixture
def hub(datasets: Any, tmp_path: Path) -> Any:
    """A hub with 30 photos to train on, in row groups of 5, and 3 to test on."""
    data = tmp_path / "hub" / "data"
    for number in range(2):
        levels = list(range(number, 250, 17))
        write(datasets, data / f"train-{number:05}-of-00002.parquet", levels, rows_in_group=5)
    write(datasets, data / "validation-00000-of-00001.parquet", [70, 80, 90])
    with serve(tmp_path / "hub", "owner/photos") as hub:
        yield hub


def tide(hub: Hub, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the library against the hub: it takes the address when it is imported."""
    settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "0", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tide", *arguments]
    return subprocess.run(
        command, cwd=folder, env=os.environ | settings, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_run_streams_its_photos_and_is_tested_without_them(hub: Hub, tmp_path: Path) -> None:
    train = {**TINY["train"], "steps": 4, "batch": 4, "accumulation": 2}
    stream = {"name": "hub:owner/photos", "photos": "streamed", "shuffle_buffer": 6}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump({**TINY, "train": train, "data": stream}), encoding="utf-8")
    done = tide(hub, tmp_path, "train", "digits", "--config", "tiny.yaml", "--workers", "1", "--out", "run")
    assert done.returncode == 0, done.stderr
    training = [(path, wanted) for _, path, wanted in hub.asked if "resolve" in path and "train-" in path]
    assert {Path(path).name for path, _ in training} == {f"train-{n:05}-of-00002.parquet" for n in range(2)}
    assert None not in [wanted for _, wanted in training]  # never a whole file
    stored = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text(encoding="utf-8"))["data"]
    assert (stored["kind"], stored["name"]) == ("hub", f"owner/photos@{COMMIT}")
    asked = len(hub.asked)
    (tmp_path / "owner" / "photos").mkdir(parents=True)  # a folder of the same name is not what the run was trained on
    done = tide(hub, tmp_path, "eval", "run")
    assert done.returncode == 0, done.stderr
    assert "3 test images" in done.stdout
    assert not [path for _, path, _ in hub.asked[asked:] if "resolve" in path and "train-" in path]


def test_an_unknown_data_set_is_one_line(hub: Hub, tmp_path: Path) -> None:
    done = tide(hub, tmp_path, "train", "digits", "--data", "hub:owner/photo", "--input.channels", "1")
    assert done.returncode == 2
    _, line = done.stderr.splitlines()  # the first says that PyTorch is loaded
    assert "owner/photo: no folder and no answer of the hub" in line

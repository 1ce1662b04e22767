"""What a run reads is checked before it is used; one writer per folder; no end without what was trained."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.conftest import TINY
from tests.train.test_runs import assert_same_run, options, resume, start, wait_for_step, whole
from tide.errors import CheckpointError
from tide.files import WRITER, only_writer
from tide.runs.folder import RunFolder
from tide.studies.runner import TrialRunner

Copy = Callable[[Path, Path], Path]
Capture = pytest.CaptureFixture[str]
__all__ = ["whole"]


def refused(run: Path, capsys: Capture) -> str:
    """Resume a run that must be refused, and return the line that says why."""
    assert resume(run) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert line.startswith("tide: error: ")
    return line


def change(run: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    """Change the training state of a run's last checkpoint."""
    path = run / "last" / "training.pt"
    training = torch.load(path, weights_only=True)
    edit(training)
    torch.save(training, path)


@pytest.mark.parametrize("name", ["../other", "/absolute", "answers"])
def test_no_file_but_the_run_s_own_logs_is_ever_cut(
    whole: Path, tmp_path: Path, copy_run: Copy, capsys: Capture, name: str
) -> None:
    run = copy_run(whole, tmp_path / "copy")
    victim = (tmp_path / "victim.jsonl") if name == "/absolute" else run / f"{name}.jsonl"
    victim.write_text("precious\n")
    key = str(victim.with_suffix("")) if name == "/absolute" else name
    change(run, lambda training: training["log_sizes"].update({key: 0}))
    before = (run / "metrics.jsonl").read_bytes()
    assert "changed by hand" in refused(run, capsys)
    assert victim.read_text() == "precious\n"
    assert (run / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("edit", "met"),
    [
        (lambda t: t["log_sizes"].update(metrics=-1), "must give the sizes of metrics and timing in bytes"),
        (lambda t: t.update(log_sizes=[1, 2]), "must give the sizes of metrics and timing in bytes"),
        (lambda t: t["position"].update(step=21), "step must be at most 20, got 21"),
        (lambda t: t["position"].update(step=-1), "step must be at least 0, got -1"),
        (lambda t: t["position"].update(step=2.5), "step must be a whole number, got 2.5"),
        (lambda t: t["position"].update(seconds=float("nan")), "seconds must be at least 0, got nan"),
        (lambda t: t["position"].update(other=1), "unexpected keyword"),
        (lambda t: t.update(position=[1]), "another model or version"),
        (lambda t: t.update(monitor=3), "another model or version"),
        (lambda t: t["monitor"].update(history=[]), "another model or version"),
        (lambda t: t.pop("optimizer"), "another model or version"),
        (lambda t: t["optimizer"].update(param_groups=[]), "another model or version"),
        (lambda t: t["optimizer"]["param_groups"][0].update(weight_decay=7.0), "other settings"),
        (lambda t: t["optimizer"]["state"][0].update(exp_avg=torch.zeros(3)), "another shape"),
        (lambda t: t["data"]["training"].update(images=7), "as the run saw it (7 images), it has 1438 images now"),
        (lambda t: t["data"]["training"].update(checksum=7), "other names, sizes or labels"),
        (lambda t: t.update(format=99), "format 99"),
    ],
)
def test_a_training_state_of_another_kind_is_refused_in_one_line(
    whole: Path, tmp_path: Path, copy_run: Copy, capsys: Capture, edit: Callable[[dict[str, Any]], Any], met: str
) -> None:
    run = copy_run(whole, tmp_path / "copy")
    change(run, edit)
    assert met in refused(run, capsys)


@pytest.mark.parametrize("content", [[1, 2], "text", torch.zeros(2), None])
def test_a_training_state_that_is_no_mapping_is_refused(
    whole: Path, tmp_path: Path, copy_run: Copy, capsys: Capture, content: Any
) -> None:
    run = copy_run(whole, tmp_path / "copy")
    torch.save(content, run / "last" / "training.pt")
    assert "damaged or no checkpoint" in refused(run, capsys)


def test_forbidden_code_is_refused_without_advice_to_allow_it(
    whole: Path, tmp_path: Path, copy_run: Copy, capsys: Capture
) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.system, ("true",)

    run = copy_run(whole, tmp_path / "copy")
    torch.save({"format": 1, "optimizer": Evil()}, run / "last" / "training.pt")
    line = refused(run, capsys)
    assert "names code, which is never run" in line
    assert "weights_only" not in line


@pytest.mark.parametrize("name", ["environment.json", "config.yaml"])
@pytest.mark.parametrize("content", ["[]", "[[1, 2]]", "3", '"x"', "[" * 100_000, "{", ""])
def test_a_foreign_file_of_a_run_is_named(
    whole: Path, tmp_path: Path, copy_run: Copy, capsys: Capture, name: str, content: str
) -> None:
    if (name, content) == ("config.yaml", ""):
        pytest.skip("an empty file of settings names none: the defaults are another run's")
    run = copy_run(whole, tmp_path / "copy")
    (run / name).write_text(content)
    line = refused(run, capsys)
    assert name in line or "configuration" in line


def test_a_run_has_one_writer_and_says_who(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    long = options(**{"train.steps": "5000"})
    first = start("digits", *long, "--out", str(run))
    wait_for_step(run, 5)
    second = start("--resume", str(run))
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 2
    assert f"process {first.pid} on" in errors
    first.kill()
    first.wait(timeout=60)
    assert json.loads((run / WRITER).read_text())["process"] == first.pid
    third = start("--resume", str(run))  # takes over what the killed one left
    wait_for_step(run, len((run / "timing.jsonl").read_text().splitlines()) + 3)
    third.send_signal(signal.SIGTERM)
    _, errors = third.communicate(timeout=60)
    assert f"taking over {run} from process {first.pid}" in errors
    assert not (run / WRITER).exists()


def test_a_lock_is_waited_for_and_freed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from tide.files import only_writer\n"
        "with only_writer(Path(sys.argv[1]), print): print('held', flush=True); time.sleep(1.5)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    said: list[str] = []
    with pytest.raises(CheckpointError, match=f"process {holder.pid} on"), only_writer(tmp_path, said.append):
        pass
    with only_writer(tmp_path, said.append, wait=30):
        pass
    assert holder.wait(timeout=10) == 0
    assert said == []  # it said that it ended


def test_what_a_dead_process_had_forked_holds_no_lock(tmp_path: Path) -> None:
    code = (
        "import os, sys, time; from pathlib import Path; from tide.files import only_writer\n"
        "with only_writer(Path(sys.argv[1]), print):\n"
        "    if os.fork() == 0: time.sleep(20)\n"
        "    print('held', flush=True); time.sleep(20)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.wait()
    said: list[str] = []
    with only_writer(tmp_path, said.append, wait=10):  # the child needs a moment to let go of what it inherited
        assert said == [
            f"taking over {tmp_path} from process {holder.pid} on {socket.gethostname()}, which ended without saying so"
        ]


def test_hanging_up_saves_and_a_second_signal_names_the_way_on(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "hung-up"
    process = start("digits", *options(), "--out", str(run))
    wait_for_step(run, 2)
    process.send_signal(signal.SIGHUP)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGHUP
    assert f"tide train --resume {run}" in errors
    assert resume(run) == 0
    assert_same_run(whole, run)


def test_a_closed_pipe_ends_no_training(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "unheard"
    process = start("digits", *options(), "--out", str(run))
    assert process.stderr is not None
    assert process.stdout is not None
    process.stderr.close()
    process.stdout.close()
    assert process.wait(timeout=120) == 0
    assert_same_run(whole, run)


def test_a_run_that_ended_before_its_first_checkpoint_begins_anew(whole: Path, tmp_path: Path, copy_run: Copy) -> None:
    run = copy_run(whole, tmp_path / "copy")
    for name in ("last", "best"):
        (run / name).rename(tmp_path / name)
    assert resume(run) == 0
    assert_same_run(whole, run)


def test_what_a_start_left_that_was_cut_short_is_no_run_and_in_nobody_s_way(whole: Path, tmp_path: Path) -> None:
    config = RunFolder.open(whole).config
    for left in ([], [".lock"], ["environment.json", "metrics.jsonl"], [".config.yaml.new"]):
        path = tmp_path / f"run-{len(left)}-{'-'.join(left).replace('.', '')}"
        path.mkdir()
        for name in left:
            (path / name).touch()
        with pytest.raises(CheckpointError, match="is not a run folder"):
            RunFolder.open(path)
        assert RunFolder.create(path, config).config == config
    with pytest.raises(CheckpointError, match="continue with --resume"):
        RunFolder.create(path, config)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").touch()
    with pytest.raises(CheckpointError, match=r"is not empty; give another --out$"):
        RunFolder.create(tmp_path / "photos", config)


def test_the_runs_of_a_study_end_with_it(tmp_path: Path) -> None:
    code = "import sys; from tests.train.test_run_safety import study; study(sys.argv[1])"  # a study of one long run
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.DEVNULL)
    run = tmp_path / "long"
    wait_for_step(run, 3)
    child = int(json.loads((run / WRITER).read_text())["process"])
    parent.kill()
    parent.wait(timeout=60)
    deadline = time.monotonic() + 60
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not (run / WRITER).exists()  # it saved and left by itself
    assert not json.loads((run / "results.json").read_text())["complete"]


def study(out: str) -> None:
    """Run a study of one trial of 100,000 steps: far more than a test waits for."""
    from tide.data import load
    from tide.models.presets import preset
    from tide.studies.runner import Trial
    from tide.train.supervised import fit_to_data, resolved

    config = fit_to_data(resolved(preset("digits", **TINY)), load("digits"))
    config = replace(config, train=replace(config.train, steps=100_000))
    TrialRunner(Path(out), jobs=1, threads=1, device="cpu").run([Trial("long", config)])

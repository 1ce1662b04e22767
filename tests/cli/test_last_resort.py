"""What the machine does to a command (a full disk, no memory) takes one line and exit code 2."""

from __future__ import annotations

import errno
import io
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from PIL import Image

from tide.cli import lists
from tide.cli.main import main

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("error", "met"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/some/where"), "/some/where: No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
        (MemoryError(), "not enough memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "not enough memory"),
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply"),
    ],
)
def test_what_the_machine_does_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, error: Exception, met: str
) -> None:
    def failing(arguments: list[str]) -> int:
        raise error

    monkeypatch.setattr(lists, "presets", failing)
    assert main(["presets"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tide: error: ")
    assert met in line
    assert "TIDE_TRACEBACK=1" in line
    monkeypatch.setenv("TIDE_TRACEBACK", "1")
    with pytest.raises(type(error)):
        main(["presets"])


def test_a_fault_of_the_program_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(arguments: list[str]) -> int:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(lists, "presets", failing)
    with pytest.raises(RuntimeError, match="shapes"):
        main(["presets"])


def test_every_module_imports_and_a_folder_is_held_where_modules_of_unix_are_missing(tmp_path: Path) -> None:
    code = (
        "import importlib, pkgutil, sys\n"
        "from pathlib import Path\n"
        "sys.modules |= dict.fromkeys(('fcntl', 'resource', 'termios', 'pwd', 'grp'))\n"
        "import tide\n"
        "from tide.files import only_writer\n"
        "for module in pkgutil.walk_packages(tide.__path__, 'tide.'):\n"
        "    if module.name != 'tide.__main__':\n"
        "        importlib.import_module(module.name)\n"
        "with only_writer(Path(sys.argv[1]), print):\n"
        "    print('held')\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "held\n", done.stderr


def test_line_breaks_inside_a_message_do_not_make_it_two(capsys: Capture) -> None:
    assert main(["eval", "two\nlines"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_terminals_of_few_characters_and_warnings_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def speaking(arguments: list[str]) -> int:
        print("ρ̂ ± κ")
        warnings.warn("odd", stacklevel=1)
        return 0

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="ascii") for _ in range(2))
    monkeypatch.setattr(lists, "presets", speaking)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["presets"]) == 0
    for stream in (out, err):
        stream.flush()
    assert out.buffer.getvalue() == b"?? ? ?\n"  # type: ignore[attr-defined]
    assert err.buffer.getvalue() == b"tide: warning: odd\n"  # type: ignore[attr-defined]


ELSEWHERE = """
import os, signal, sys
for name in ("fcntl", "resource", "termios", "pwd", "grp"):
    sys.modules[name] = None
for name in ("SIGHUP", "SIGKILL", "SIGCHLD", "SIGUSR1", "SIGUSR2", "SIGXCPU", "pthread_sigmask", "SIG_BLOCK"):
    delattr(signal, name)
for name in ("sched_getaffinity", "killpg", "setsid", "getpgid"):
    delattr(os, name)
from tide.cli.main import main
picture, run = sys.argv[1:]
codes = [main(["predict", "pretrained:digits", picture])]
codes += [main(["train", "digits", "--steps", "2", "--ticks", "2", "--batch", "8", "--threads", "1", "--out", run])]
codes += [main(["eval", run, "--batch", "100"]), main(["show", run, "3", "--out", run + "/thought.png"])]
sys.exit(max(codes))
"""


def test_commands_work_where_unix_has_no_say(tmp_path: Path) -> None:
    """As far as imports and signals go, this is Windows."""
    picture = tmp_path / "digit.png"
    Image.new("L", (16, 16)).save(picture)
    command = [sys.executable, "-c", ELSEWHERE, str(picture), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "run" / "thought.png").is_file()

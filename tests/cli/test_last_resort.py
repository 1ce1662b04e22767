"""What the machine does to a command (a full disk, no memory) takes one line and exit code 2."""

from __future__ import annotations

import errno
import io
import sys
import warnings

import pytest

from tide.cli import presets
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

    monkeypatch.setattr(presets, "run", failing)
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

    monkeypatch.setattr(presets, "run", failing)
    with pytest.raises(RuntimeError, match="shapes"):
        main(["presets"])


def test_line_breaks_inside_a_message_do_not_make_it_two(capsys: Capture) -> None:
    assert main(["eval", "two\nlines"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_terminals_of_few_characters_and_warnings_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def speaking(arguments: list[str]) -> int:
        print("ρ̂ ± κ")
        warnings.warn("odd", stacklevel=1)
        return 0

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="ascii") for _ in range(2))
    monkeypatch.setattr(presets, "run", speaking)
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

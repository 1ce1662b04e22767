"""Compiling once per machine: what may go wrong ends in one line, and the eager loop goes on."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tide.errors import InputError
from tide.native import choice, library
from tide.native import library as compiler
from tide.native.library import NativeError, compiled

SMALL = 'extern "C" int answer() { return 42; }\n'


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache folder, and a source that compiles in no time."""
    if not any(shutil.which(name) for name in compiler.CANDIDATES):
        pytest.skip("no C++ compiler")
    source = tmp_path / "source"
    source.mkdir()
    (source / "ticks.cpp").write_text(SMALL)
    monkeypatch.setattr(compiler, "SOURCE", source)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CXX", raising=False)
    return tmp_path / "cache" / "tide" / "native"


def script(folder: Path, text: str) -> str:
    path = folder / "compiler.sh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def fresh_choice(model) -> choice.Choice:
    """Decide as a new process would."""
    library.load.cache_clear()
    try:
        return model.tick_loop()
    finally:
        library.load.cache_clear()


def test_an_object_is_compiled_once_and_told_of_in_one_line(cache, capfd):
    path = compiled()
    assert path.parent == cache
    assert capfd.readouterr().err.splitlines() == [
        "tide: compiling the native tick loop once for this machine (10 to 60 s)"
    ]
    written = path.stat().st_mtime_ns
    assert compiled() == path
    assert path.stat().st_mtime_ns == written
    assert capfd.readouterr().err == ""


def test_source_flags_compiler_processor_and_type_have_objects_of_their_own(cache, monkeypatch, tmp_path):
    found = [compiled(), compiled("double")]
    (compiler.SOURCE / "ticks.cpp").write_text(SMALL + "// edited\n")
    found.append(compiled())
    (compiler.SOURCE / "part.h").write_text("")
    found.append(compiled())
    monkeypatch.setattr(compiler, "_processor", lambda: "another")
    found.append(compiled())
    monkeypatch.setattr(compiler, "FLAGS", (*compiler.FLAGS, "-g0"))
    found.append(compiled())
    monkeypatch.setenv("CXX", script(tmp_path, 'exec c++ "$@"'))
    found.append(compiled())
    assert len(set(found)) == len(found) == 7


def test_two_processes_compile_once(cache, tmp_path):
    count = tmp_path / "count"
    slow = script(tmp_path, f'echo >> {count}\nsleep 0.5\nexec c++ "$@"')
    program = (
        "import sys; from pathlib import Path; from tide.native import library as compiler\n"
        "compiler.SOURCE = Path(sys.argv[1]); print(compiler.compiled())"
    )
    command = [sys.executable, "-c", program, str(compiler.SOURCE)]
    both = [
        subprocess.Popen(command, env=os.environ | {"CXX": slow}, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    paths = {process.communicate(timeout=60)[0] for process in both}
    assert len(paths) == 1
    assert count.read_text() == "\n"
    assert sorted(path.suffix for path in cache.iterdir()) == [".lock", ".so"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("echo 'ticks.cpp:1: error: no such thing' >&2; exit 1", "failed: ticks.cpp:1: error: no such thing"),
        ("exit 3", "failed: exit code 3"),
        ("sleep 60", "took more than 0.5 s"),
    ],
)
def test_a_compiler_that_fails_or_hangs_leaves_eager_and_one_line(cache, tmp_path, monkeypatch, tiny_model, text, told):
    monkeypatch.setenv("CXX", script(tmp_path, text))
    monkeypatch.setattr(compiler, "TIME_LIMIT", 0.5)
    model = tiny_model(torch.float32)
    began = time.monotonic()
    decided = fresh_choice(model)
    assert time.monotonic() - began < 10
    assert decided.library is None
    assert told in decided.reason
    assert "\n" not in decided.reason
    assert [path.suffix for path in cache.iterdir()] == [".lock"], "nothing that could be loaded is left"
    assert model(torch.rand(2, 1, 9, 9)).logits.isfinite().all()
    monkeypatch.setenv("TIDE_NATIVE", "require")
    with pytest.raises(InputError, match="TIDE_NATIVE is require") as caught:
        fresh_choice(model)
    assert "\n" not in str(caught.value)


def test_a_compiler_that_does_not_exist(cache, monkeypatch):
    monkeypatch.setenv("CXX", "/nowhere/c++")
    with pytest.raises(NativeError, match=r"no C\+\+ compiler found \(/nowhere/c\+\+\)"):
        compiled()


def test_an_object_that_cannot_be_loaded_is_named(cache, tiny_model):
    compiled().write_text("damaged")
    reason = fresh_choice(tiny_model(torch.float32)).reason
    assert str(cache) in reason
    assert "cannot be loaded" in reason


@pytest.mark.parametrize("kind", ["file", "read-only"])
def test_a_cache_that_cannot_be_written_is_replaced_by_a_temporary_folder(cache, kind):
    parent = cache.parents[1]
    if kind == "file":
        parent.write_text("")
    else:
        parent.mkdir()
        parent.chmod(0o500)
        if os.access(parent, os.W_OK):
            pytest.skip("this user may write everywhere")
    path = compiled()
    assert path.is_file()
    assert cache not in path.parents


def test_a_lock_that_is_never_released_is_waited_for_aloud_and_given_up(cache, monkeypatch, capfd):
    monkeypatch.setattr(compiler, "TIME_LIMIT", 0.2)
    cache.mkdir(parents=True)
    with (
        compiler._locked(cache / "held.lock"),
        pytest.raises(NativeError, match="another process holds"),
        compiler._locked(cache / "held.lock"),
    ):
        raise AssertionError
    assert capfd.readouterr().err == "tide: waiting for another process that compiles the native tick loop\n"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EIO, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_disk_without_locks_makes_nobody_wait(cache, monkeypatch, capfd, number):
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", flock)
    began = time.monotonic()
    assert compiled().is_file()
    assert time.monotonic() - began < 10
    assert "waiting" not in capfd.readouterr().err


def test_denormal_numbers_survive_loading_the_library(native):
    smallest = torch.tensor(1e-40)
    assert smallest * 1 > 0
    assert float(smallest.numpy() * 1) > 0


def test_help_neither_compiles_nor_loads():
    program = (
        "import sys\nfrom tide.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([name for name in sys.modules if name.startswith('tide.native')], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == "[]"

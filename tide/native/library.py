"""The compiled library: compiled once per machine, loaded once per process, called on as many threads as torch uses."""

from __future__ import annotations

import atexit
import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any

import torch
from torch import Tensor

from tide.native.call import Call


class NativeError(Exception):
    """There is no native tick loop; the message says in one line why."""


REALS = {torch.float32: "float", torch.float64: "double"}


class Library:
    """The functions of ``source/ticks.cpp``; ctypes lets go of Python's lock while they run."""

    def __init__(self, path: str) -> None:
        try:
            self._library = ctypes.CDLL(path)
            self._library.tide_call_bytes.restype = ctypes.c_int64
            same = self._library.tide_call_bytes() == ctypes.sizeof(Call)
        except (OSError, AttributeError) as error:
            raise NativeError(f"{path} cannot be loaded: {' '.join(str(error).split())}") from error
        if not same:
            raise NativeError(f"{path} was compiled from a source with other structures: reinstall tide-dynamics")
        for name in ("tide_forward", "tide_backward", "tide_neuron_weights", "tide_compact"):
            getattr(self._library, name).restype = None

    def forward(self, call: Call, panels: int, *, slots: int | None = None) -> None:
        """Run panels through their ticks, each in a slot of its own, or on ``slots`` threads with one slot each."""
        self._shared(self._library.tide_forward, call, panels, slots)

    def backward(self, call: Call, panels: int, neurons: int) -> None:
        """Run panels backward, then collect the gradients of the neuron models (``neurons`` of them)."""
        self._shared(self._library.tide_backward, call, panels)
        if neurons:
            self._shared(self._library.tide_neuron_weights, call, neurons)

    def compact(self, rows: Tensor, source: Tensor) -> None:
        """Move lanes in place: lane i of ``rows`` (panels, groups, features, 16) takes over lane ``source[i]`` ≥ i."""
        _, groups, features, _ = rows.shape
        strides = [ctypes.c_int64(rows.stride(dim)) for dim in (0, 1)]
        self._library.tide_compact(
            ctypes.c_void_p(rows.data_ptr()),
            ctypes.c_int64(groups),
            ctypes.c_int64(features),
            *strides,
            ctypes.c_void_p(source.data_ptr()),
            ctypes.c_int64(len(source)),
        )

    @staticmethod
    def _shared(function: Callable[..., Any], call: Call, count: int, slots: int | None = None) -> None:
        """Share ``count`` pieces out to ``slots`` threads, to as many as torch uses where None."""
        threads = threads_for(count) if slots is None else slots
        cuts = [count * number // threads for number in range(threads + 1)]

        def run(number: int) -> None:
            first, slot = cuts[number], -1 if slots is None else number
            function(
                ctypes.byref(call),
                ctypes.c_int64(first),
                ctypes.c_int64(cuts[number + 1] - first),
                ctypes.c_int64(slot),
            )

        others = [Thread(target=run, args=(number,)) for number in range(1, threads)]
        for other in others:
            other.start()
        try:
            run(0)
        finally:
            _wait_for(others)


def _wait_for(threads: list[Thread]) -> None:
    """Wait for all, whatever the user presses meanwhile: they write into memory that is freed afterwards."""
    interrupt: KeyboardInterrupt | None = None
    for thread in threads:
        while thread.is_alive():
            try:
                thread.join()
            except KeyboardInterrupt as error:
                interrupt = error
    if interrupt is not None:
        raise interrupt


def threads_for(count: int) -> int:
    """Return the number of threads that ``count`` pieces are shared out to."""
    return max(1, min(torch.get_num_threads(), count))


@cache
def load(dtype: torch.dtype) -> Library | NativeError:
    """Return the library for numbers of ``dtype``, or why there is none; tried once per process."""
    try:
        return Library(str(compiled(REALS[dtype])))
    except NativeError as error:
        return error


# Compiled once per machine and kept in the user's cache folder.
#
# An object's name is a digest of the source, the compiler, the flags and the processor, so that neither an edited
# source nor a home folder shared by different machines ever meets a wrong object. It is written aside and renamed
# under a lock: an interrupted compilation leaves nothing behind that could be loaded.


SOURCE = Path(__file__).parent / "source"
MAIN = "ticks.cpp"
CANDIDATES = ("c++", "g++", "clang++")
TIME_LIMIT = 120.0  # seconds, for a compilation and for waiting for another process that compiles

# The single permissions of -ffast-math that help, without the assumption that no number is NaN or infinite: training
# rejects a step by its NaN. -ffast-math itself would, when linking, make the whole process flush denormal numbers.
FLAGS = (
    *("-std=c++17", "-O3", "-shared", "-fPIC", "-Wno-psabi"),
    *("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-fassociative-math", "-freciprocal-math"),
)


def compiled(real: str = "float") -> Path:
    """Return the compiled library with ``real`` numbers, float or double; raises :class:`NativeError`."""
    if sys.platform == "win32":
        raise NativeError("the native loop is not for Windows")
    command = [*_compiler(), *FLAGS, *_processor_flags(), f"-DREAL={real}"]
    name = f"ticks-{_key(command)}.so"
    try:
        folder = cache_folder()
        if (folder / name).is_file():
            return folder / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass  # writable
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="tide-native-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with _locked(folder / f"{name}.lock"):
        if not (folder / name).is_file():  # another process may have been faster
            _compile(command, folder / name)
    return folder / name


def cache_folder() -> Path:
    """Return the folder of compiled objects, under ``XDG_CACHE_HOME`` or ``~/.cache``."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "tide" / "native"


def _compiler() -> list[str]:
    """Return the command of the C++ compiler: ``CXX`` where it is set, else the first one found."""
    chosen = shlex.split(os.environ.get("CXX", ""))
    for candidate in [chosen] if chosen else [[name] for name in CANDIDATES]:
        path = shutil.which(candidate[0])
        if path is not None:
            return [path, *candidate[1:]]
    raise NativeError(f"no C++ compiler found ({chosen[0] if chosen else ', '.join(CANDIDATES)})")


def _processor_flags() -> list[str]:
    return ["-mcpu=native" if platform.machine().lower() in ("arm64", "aarch64") else "-march=native"]


def _key(command: list[str]) -> str:
    digest = hashlib.sha256()
    for path in sorted(SOURCE.iterdir()):
        if path.suffix in (".h", ".cpp"):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    binary = Path(command[0]).resolve()
    facts = binary.stat()
    for part in (*command, str(binary), str(facts.st_size), str(facts.st_mtime_ns), _processor()):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:20]


def _processor() -> str:
    """Return what tells processors apart that ``native`` code must not be exchanged between."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").split("\n\n")[0].splitlines() if information.is_file() else []
    telling = ("vendor_id", "cpu family", "model", "flags", "features", "cpu implementer", "cpu part")
    facts = [line for line in lines if line.split(":")[0].strip().lower() in telling]
    return "\n".join([sys.platform, platform.machine(), platform.processor(), *facts])


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that the system takes back when this process ends; wait only for one that another process holds.

    Where a disk has no locks it goes on at once: an object is renamed into its place, so two that compile lose time
    only. Raises :class:`NativeError` after the limit.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path, fallback_to_soft=False)
    with suppress(OSError, NotImplementedError):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print("tide: waiting for another process that compiles the native tick loop", file=sys.stderr, flush=True)
            try:
                lock.acquire(timeout=TIME_LIMIT)
            except Timeout as error:
                raise NativeError(f"another process holds {path} for more than {TIME_LIMIT:g} s") from error
    try:
        yield
    finally:
        lock.release()


def _compile(command: list[str], target: Path) -> None:
    print("tide: compiling the native tick loop once for this machine (10 to 60 s)", file=sys.stderr, flush=True)
    aside = target.with_name(f"{target.stem}.{os.getpid()}.part")
    try:
        process = subprocess.Popen(
            [*command, str(SOURCE / MAIN), "-o", str(aside)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"LC_ALL": "C"},
            start_new_session=True,  # what the compiler starts ends with it
        )
        try:
            output, _ = process.communicate(timeout=TIME_LIMIT)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        if process.returncode != 0:
            lines = output.decode(errors="replace").strip().splitlines()
            lines = [line for line in lines if "error" in line] or lines or [f"exit code {process.returncode}"]
            raise NativeError(f"{command[0]} failed: {lines[0][:200]}")
        aside.replace(target)
    except subprocess.TimeoutExpired as error:
        raise NativeError(f"{command[0]} took more than {TIME_LIMIT:g} s") from error
    except OSError as error:
        raise NativeError(f"{command[0]} cannot be used: {error}") from error
    finally:
        aside.unlink(missing_ok=True)

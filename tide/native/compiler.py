"""Compile the native tick loop once per machine and keep it in the user's cache folder.

An object's name is a digest of the source, the compiler, the flags and the processor, so that neither an edited source
nor a home folder shared by different machines ever meets a wrong object. It is written aside and renamed under a lock:
an interrupted compilation leaves nothing behind that could be loaded.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


class NativeError(Exception):
    """There is no native tick loop; the message says in one line why."""


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
    given = shlex.split(os.environ.get("CXX", ""))
    for candidate in [given] if given else [[name] for name in CANDIDATES]:
        path = shutil.which(candidate[0])
        if path is not None:
            return [path, *candidate[1:]]
    raise NativeError(f"no C++ compiler found ({given[0] if given else ', '.join(CANDIDATES)})")


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
    """Hold a lock that the system takes back when this process ends; raises :class:`NativeError` after the limit."""
    import fcntl  # not on Windows

    give_up = time.monotonic() + TIME_LIMIT
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() > give_up:
                    message = f"another process holds {path} for more than {TIME_LIMIT:g} s"
                    raise NativeError(message) from error
                time.sleep(0.05)
        yield


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
            told = output.decode(errors="replace").strip().splitlines()
            told = [line for line in told if "error" in line] or told or [f"exit code {process.returncode}"]
            raise NativeError(f"{command[0]} failed: {told[0][:200]}")
        aside.replace(target)
    except subprocess.TimeoutExpired as error:
        raise NativeError(f"{command[0]} took more than {TIME_LIMIT:g} s") from error
    except OSError as error:
        raise NativeError(f"{command[0]} cannot be used: {error}") from error
    finally:
        aside.unlink(missing_ok=True)

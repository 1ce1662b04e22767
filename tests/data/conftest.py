"""What the tests of the data part share: real data, tiny data sets, a loopback server and the check of messages."""

import gzip
import hashlib
import http.server
import io
import os
import pickle
import struct
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from tide.data.fetch import DataFile, Download, locate
from tide.data.named import NAMED_SETS
from tide.errors import DataError

Refuses = Callable[..., AbstractContextManager[None]]


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """Gives the folder with the real data sets, or skips the test where it lacks the one named."""

    def folder_with(name: str) -> Path:
        chosen = os.environ.get("TIDE_DATA")
        folder = Path(chosen) if chosen else Path(__file__).parents[2].parent / "shared" / "data"
        if locate(NAMED_SETS[name], folder) is None if name in NAMED_SETS else not (folder / name).is_dir():
            pytest.skip(f"no {name} in {folder}: set TIDE_DATA to the folder of the real data sets")
        return folder

    return folder_with


@pytest.fixture
def refuses() -> Refuses:
    """A context that expects a DataError of one line with all of the given parts."""

    @contextmanager
    def expect(*parts: object) -> Iterator[None]:
        with pytest.raises(DataError) as caught:
            yield
        message = str(caught.value)
        assert "\n" not in message
        assert "must" in message or "; " in message, message  # what is right, or what to do
        for part in parts:
            assert str(part) in message, message

    return expect


@pytest.fixture
def idx_bytes() -> Callable[[np.ndarray], bytes]:
    """Writes an array of unsigned bytes as an IDX file does."""

    def write(array: np.ndarray) -> bytes:
        return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()

    return write


@pytest.fixture
def cifar_bytes() -> Callable[[dict[bytes, object]], bytes]:
    """Writes a batch as the original files are, with the module names of NumPy 1."""

    def write(batch: dict[bytes, object]) -> bytes:
        return pickle.dumps(batch, protocol=3).replace(b"cnumpy._core.", b"cnumpy.core.")

    return write


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


@pytest.fixture
def tiny_mnist(monkeypatch: pytest.MonkeyPatch, idx_bytes: Callable[[np.ndarray], bytes]) -> dict[str, bytes]:
    """Puts a set of 20 + 10 random images in MNIST's place and returns its compressed files."""
    random = np.random.default_rng(0)
    raw = {}
    for part, count in (("train", 20), ("t10k", 10)):
        raw[f"{part}-images-idx3-ubyte"] = idx_bytes(random.integers(0, 256, (count, 28, 28), dtype=np.uint8))
        raw[f"{part}-labels-idx1-ubyte"] = idx_bytes(random.integers(0, 10, count, dtype=np.uint8))
    packed = {f"{name}.gz": gzip.compress(data, mtime=0) for name, data in raw.items()}
    tiny = replace(
        NAMED_SETS["mnist"],
        files=tuple(
            DataFile(((f"{name}.gz", md5(packed[f"{name}.gz"])), (name, md5(data)))) for name, data in raw.items()
        ),
        downloads=tuple(Download(name, md5(data), len(data)) for name, data in packed.items()),
    )
    monkeypatch.setitem(NAMED_SETS, "mnist", tiny)
    return packed


@pytest.fixture
def tiny_cifar(monkeypatch: pytest.MonkeyPatch, cifar_bytes: Callable[[dict[bytes, object]], bytes]) -> bytes:
    """Puts a set of 6 + 6 random images in CIFAR-100's place and returns its archive, with a hostile member."""
    random = np.random.default_rng(0)
    files = {}
    for name in ("train", "test"):
        data = random.integers(0, 256, (6, 3072), dtype=np.uint8)
        files[name] = cifar_bytes({b"data": data, b"fine_labels": [0, 1, 2, 0, 1, 2]})
    files["meta"] = cifar_bytes({b"fine_label_names": [b"apple", b"bear", b"clock"]})
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for path, data in {
            "../../evil": b"",
            **{f"cifar-100-python/{key}": value for key, value in files.items()},
        }.items():
            member = tarfile.TarInfo(path)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    archive = stream.getvalue()
    tiny = replace(
        NAMED_SETS["cifar100"],
        files=tuple(DataFile(((name, md5(data)),)) for name, data in files.items()),
        downloads=(Download("cifar-100-python.tar.gz", md5(archive), len(archive)),),
    )
    monkeypatch.setitem(NAMED_SETS, "cifar100", tiny)
    return archive


@dataclass
class Server:
    """A loopback file server: what it offers, what it was asked for and how often it shall break off."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    breaks: int = 0


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A running loopback server that understands ranges."""
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name, wanted = self.path.removeprefix("/"), self.headers.get("Range")
            state.asked.append((name, wanted))
            if name not in state.files:
                self.send_error(404)
                return
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
            body = state.files[name][start:]
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if state.breaks:
                state.breaks -= 1
                body = body[: len(body) // 2]
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the output of the tests clean."""

    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(sys.modules["tide.data.fetch"], "PAUSE", 0.01)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.url = f"http://127.0.0.1:{running.server_port}"
        yield state
        running.shutdown()
        thread.join()

"""The served page: only on 127.0.0.1 and under its name; uploads and pixels are capped; a taken port is one line."""

from __future__ import annotations

import http.client
import io
import json
import struct
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from PIL import Image

import tide
from tide.cli.main import main
from tide.data import to_float
from tide.errors import InputError
from tide.export import server
from tide.export.page import Shown
from tide.export.server import HOST, application, listen
from tide.models.thinker import Thinker
from tide.runs.reopen import read_asked, told

PAGE = "<!doctype html><title>page</title>"


@pytest.fixture(scope="module")
def model() -> Thinker:
    return tide.pretrained("digits")


@pytest.fixture(scope="module")
def port(model: Thinker) -> Iterator[int]:
    """The port of a running server."""
    uvicorn = pytest.importorskip("uvicorn", reason="no uvicorn: pip install 'tide-dynamics[demo]'")
    pytest.importorskip("starlette", reason="no starlette: pip install 'tide-dynamics[demo]'")
    running = uvicorn.Server(uvicorn.Config(application(PAGE, [Shown("TIDE", model)]), log_level="error"))
    with listen(0) as listening:
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not running.started:
            time.sleep(0.01)
        yield listening.getsockname()[1]
        running.should_exit = True
        thread.join(10)


def ask(port: int, method: str, path: str, body: Any = None, headers: Mapping[str, str] = {}) -> tuple[int, str]:
    connection = http.client.HTTPConnection(HOST, port, timeout=20)
    connection.request(method, path, body=body, headers=dict(headers))
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_the_page_comes_under_its_own_name_only(port: int) -> None:
    assert ask(port, "GET", "/") == (200, PAGE)
    assert ask(port, "GET", "/", headers={"Host": f"localhost:{port}"}) == (200, PAGE)
    assert ask(port, "GET", "/", headers={"Host": "evil.example"})[0] == 400
    assert ask(port, "GET", "/../pyproject.toml")[0] == 404
    assert ask(port, "POST", "/predict", b"", {"Host": "evil.example"})[0] == 400


def test_a_photo_is_answered_by_the_model(port: int, model: Thinker) -> None:
    drawn = Image.new("L", (16, 16))
    drawn.paste(255, (7, 2, 9, 14))
    status, text = ask(port, "POST", "/predict", png(drawn))
    expected = model.predict(to_float(torch.tensor(list(drawn.tobytes()), dtype=torch.uint8).reshape(1, 1, 16, 16)))
    (found,) = json.loads(text)["models"]
    assert (status, found["title"], found["label"]) == (200, "TIDE", str(int(expected.label)))
    assert found["certainty"] == pytest.approx(float(expected.certainty), abs=1e-6)


def test_a_sequence_is_answered_by_its_model_and_another_refused() -> None:
    model = tide.create("parity.16").eval()
    (found,) = server.answers(b"0110100110010110\n", [Shown("TIDE", model)])
    assert set(str(found["label"]).split()) <= {"even", "odd"}
    assert found["label"] == told(model, model.predict(read_asked(model, ["0110100110010110"], None)[0][1]))
    with pytest.raises(InputError, match=r"'01\?' holds '\?', 0 and 1 are wanted"):
        server.answers(b"01?", [Shown("TIDE", model)])


def test_uploads_and_pixels_are_capped(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    header = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 0, 0, 0, 0)  # a PNG of 100 megapixels that says no more
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    chunk += struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    cases = [
        (b"\x89PNG\r\n\x1a\n" + chunk, "the photo has 10000 x 10000 pixels, 40 million or fewer are wanted"),
        (b"not a photo", "the upload is no photo that can be read"),
        (b"", "the upload is no photo that can be read"),
    ]
    for body, words in cases:
        status, text = ask(port, "POST", "/predict", body)
        assert status == 400
        assert words in json.loads(text)["error"]
    monkeypatch.setattr(server, "MOST_BYTES", 1_000_000)
    status, text = ask(port, "POST", "/predict", bytes(1_500_000))
    assert (status, json.loads(text)["error"][:33]) == (400, "the upload has more than 1 MB, fe")


def test_a_page_of_another_address_is_refused(port: int) -> None:
    status, text = ask(port, "POST", "/predict", png(Image.new("L", (16, 16))), {"Origin": "https://evil.example"})
    assert status == 400
    assert "comes from https://evil.example" in text


def test_a_taken_port_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("uvicorn", reason="no uvicorn: pip install 'tide-dynamics[demo]'")
    with listen(0) as taken:
        taken.listen()
        number = taken.getsockname()[1]
        assert main(["demo", "pretrained:digits", "--port", str(number)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"tide: error: port {number} is taken or not allowed")
    assert error.count("\n") == 1
    assert main(["demo", "--port", "70000"]) == 2
    assert "--port is 70000" in capsys.readouterr().err

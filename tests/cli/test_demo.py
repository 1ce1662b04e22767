"""The served page: only on 127.0.0.1 and under its name; a taken port is one line."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator, Mapping

import pytest

from tide.cli.export import HEADERS, HOST, PageServer
from tide.cli.main import main

PAGE = "<!doctype html><title>ρ</title>"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a running server."""
    with PageServer.on(0) as server:
        server.page = PAGE.encode()
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join(10)


def ask(port: int, path: str, headers: Mapping[str, str] = {}, method: str = "GET") -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(HOST, port, timeout=20)
    connection.request(method, path, headers=dict(headers))
    return connection.getresponse()


def test_the_page_comes_under_its_own_name_only(port: int) -> None:
    for host in (f"{HOST}:{port}", f"localhost:{port}", "localhost"):
        answer = ask(port, "/", {"Host": host})
        assert (answer.status, answer.read().decode()) == (200, PAGE)
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    for host in ("evil.example", f"evil.example:{port}", "localhost.evil.example", ""):
        answer = ask(port, "/", {"Host": host})
        assert answer.status == 400
        assert PAGE not in answer.read().decode()


def test_there_is_nothing_but_the_page(port: int) -> None:
    assert ask(port, "/?again").status == 200
    assert ask(port, "/../pyproject.toml").status == 404
    assert ask(port, "/predict", method="POST").status == 501


def test_a_taken_port_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxscript", reason="no onnxscript: pip install 'tide-dynamics[export]'")
    with PageServer.on(0) as taken:
        number = taken.server_address[1]
        assert main(["demo", "pretrained:digits", "--port", str(number)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"tide: error: port {number} is taken or not allowed")
    assert error.count("\n") == 1
    assert main(["demo", "--port", "70000"]) == 2
    assert "--port must be between 0 and 65535, got 70000" in capsys.readouterr().err

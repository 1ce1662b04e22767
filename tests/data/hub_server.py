"""A Hugging Face hub of one data set, on this machine, that notes what is asked of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Where the hub answers, and the requests so far: method, path, and the range of bytes wanted."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.asked: list[tuple[str, str, str | None]] = []


@contextmanager
def serve(root: Path, name: str) -> Iterator[Hub]:
    """Serve the files below ``root`` as the data set ``name``."""
    about, files = f"/api/datasets/{name}/", f"/datasets/{name}/resolve/{COMMIT}/"

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path, wanted = self.path.split("?")[0], self.headers.get("Range")
            hub.asked.append((self.command, path, wanted))
            if path in (about.rstrip("/"), f"{about}revision/{COMMIT}"):
                names = [{"rfilename": place} for place in listing(root)]
                return self.answer({"id": name, "sha": COMMIT, "siblings": names})
            if path.startswith(f"{about}tree/{COMMIT}/"):
                folder = path.removeprefix(f"{about}tree/{COMMIT}/")
                return self.answer([entry(place) for place in listing(root) if place.startswith(f"{folder}/")])
            if path.startswith(files) and path.removeprefix(files) in listing(root):
                return self.file((root / path.removeprefix(files)).read_bytes(), wanted)
            self.answer({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})

        do_HEAD = do_GET

        def file(self, data: bytes, wanted: str | None) -> None:
            headers = {"ETag": f'"{len(data)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
            if wanted is None:
                return self.answer(data, 200, headers)
            first, last = (int(edge) for edge in wanted.removeprefix("bytes=").split("-"))
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            self.answer(data[first : last + 1], 206, headers)

        def answer(self, content: Any, code: int = 200, headers: dict[str, str] | None = None) -> None:
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(code)
            for key, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    def entry(place: str) -> dict[str, Any]:
        return {"type": "file", "oid": "0" * 40, "size": (root / place).stat().st_size, "path": place}

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub = Hub(server.server_port)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


def listing(root: Path) -> list[str]:
    """Return the files below ``root``."""
    return sorted(file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file())
